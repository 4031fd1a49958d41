/*
 * WASI 0.2 sockets for C, as the canonical ABI has them: wasi:sockets, and of wasi:io, wasi:clocks and wasi:cli what a
 * program needs beside them. Preview 1 has no such functions, so they are imported straight; their types are in
 * sockets.wit.
 *
 * A function takes its parameters flattened, and writes a result that is more than one word where its last parameter
 * points: first a byte that says whether it failed, then, aligned, the value or the error. An address is its case and
 * eleven words: SPREAD passes one, ADDRESS_WORDS declares them. A list in a result was allocated with cabi_realloc,
 * which the program defines by writing DEFINE_CABI_REALLOC once; whoever gets the list frees it.
 */

#ifndef SOCKETS_H
#define SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define WASI(interface, function) __attribute__((import_module("wasi:" interface "@0.2.0"), import_name(function)))

#define DEFINE_CABI_REALLOC                                                                                       \
  __attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t align,       \
                                                                  size_t size) {                                  \
    (void)old_size, (void)align;                                                                                  \
    void *bytes = size ? realloc(old, size) : (void *)align;                                                      \
    if (!bytes) __builtin_trap();                                                                                 \
    return bytes;                                                                                                 \
  }

/* ---- types ---- */

typedef int32_t handle;

enum family { IPV4, IPV6 };

enum shutdown { SHUTDOWN_RECEIVE, SHUTDOWN_SEND, SHUTDOWN_BOTH };

enum error_code {
  ERROR_UNKNOWN,
  ERROR_ACCESS_DENIED,
  ERROR_NOT_SUPPORTED,
  ERROR_INVALID_ARGUMENT,
  ERROR_OUT_OF_MEMORY,
  ERROR_TIMEOUT,
  ERROR_CONCURRENCY_CONFLICT,
  ERROR_NOT_IN_PROGRESS,
  ERROR_WOULD_BLOCK,
  ERROR_INVALID_STATE,
  ERROR_NEW_SOCKET_LIMIT,
  ERROR_ADDRESS_NOT_BINDABLE,
  ERROR_ADDRESS_IN_USE,
  ERROR_REMOTE_UNREACHABLE,
  ERROR_CONNECTION_REFUSED,
  ERROR_CONNECTION_RESET,
  ERROR_CONNECTION_ABORTED,
  ERROR_DATAGRAM_TOO_LARGE,
  ERROR_NAME_UNRESOLVABLE,
  ERROR_TEMPORARY_RESOLVER_FAILURE,
  ERROR_PERMANENT_RESOLVER_FAILURE,
};

static inline const char *error_code_name(uint8_t code) {
  static const char *const names[] = {
      "unknown",
      "access-denied",
      "not-supported",
      "invalid-argument",
      "out-of-memory",
      "timeout",
      "concurrency-conflict",
      "not-in-progress",
      "would-block",
      "invalid-state",
      "new-socket-limit",
      "address-not-bindable",
      "address-in-use",
      "remote-unreachable",
      "connection-refused",
      "connection-reset",
      "connection-aborted",
      "datagram-too-large",
      "name-unresolvable",
      "temporary-resolver-failure",
      "permanent-resolver-failure",
  };
  return code < sizeof names / sizeof names[0] ? names[code] : "no error-code";
}

/* ip-address, ip-socket-address: as they lie in memory. */
typedef struct {
  uint8_t kind; /* enum family */
  union {
    uint8_t v4[4];
    uint16_t v6[8];
  };
} ip_address;

typedef struct {
  uint8_t kind; /* enum family */
  union {
    struct {
      uint16_t port;
      uint8_t address[4];
    } v4;
    struct {
      uint16_t port;
      uint32_t flow_info;
      uint16_t address[8];
      uint32_t scope_id;
    } v6;
  };
} ip_socket_address;

/* ip-socket-address, flattened: for IPv4 port and four bytes; for IPv6 port, flow-info, eight groups, scope-id. */
typedef struct {
  int32_t kind;
  int32_t word[11];
} flat_address;

#define ADDRESS_WORDS \
  int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t
#define SPREAD(a)                                                                                                   \
  (a).kind, (a).word[0], (a).word[1], (a).word[2], (a).word[3], (a).word[4], (a).word[5], (a).word[6], (a).word[7], \
      (a).word[8], (a).word[9], (a).word[10]

static inline flat_address flatten(const ip_socket_address *address) {
  flat_address flat = {.kind = address->kind};
  if (address->kind == IPV4) {
    flat.word[0] = address->v4.port;
    for (int i = 0; i < 4; i++) flat.word[1 + i] = address->v4.address[i];
  } else {
    flat.word[0] = address->v6.port;
    flat.word[1] = (int32_t)address->v6.flow_info;
    for (int i = 0; i < 8; i++) flat.word[2 + i] = address->v6.address[i];
    flat.word[10] = (int32_t)address->v6.scope_id;
  }
  return flat;
}

static inline ip_socket_address socket_address(const ip_address *ip, uint16_t port) {
  ip_socket_address address = {.kind = ip->kind};
  if (ip->kind == IPV4) {
    address.v4.port = port;
    for (int i = 0; i < 4; i++) address.v4.address[i] = ip->v4[i];
  } else {
    address.v6.port = port;
    for (int i = 0; i < 8; i++) address.v6.address[i] = ip->v6[i];
  }
  return address;
}

/* result<T, error-code>: `error` counts where `failed` is 1. */
typedef struct {
  uint8_t failed;
  union {
    uint8_t value; /* u8, or bool */
    uint8_t error;
  };
} result_u8;

typedef result_u8 result_unit;

typedef struct {
  uint8_t failed;
  union {
    uint32_t value;
    uint8_t error;
  };
} result_u32;

typedef struct {
  uint8_t failed;
  union {
    uint64_t value;
    uint8_t error;
  };
} result_u64;

typedef struct {
  uint8_t failed;
  union {
    handle value;
    uint8_t error;
  };
} result_handle;

typedef struct {
  uint8_t failed;
  union {
    ip_socket_address value;
    uint8_t error;
  };
} result_address;

typedef struct {
  uint8_t failed;
  union {
    struct {
      uint8_t some; /* 0: there are no more */
      ip_address address;
    } next;
    uint8_t error;
  };
} result_next_address;

typedef struct {
  uint8_t failed;
  union {
    struct {
      handle input, output;
    } streams;
    uint8_t error;
  };
} result_streams;

typedef struct {
  uint8_t failed;
  union {
    struct {
      handle socket, input, output;
    } peer;
    uint8_t error;
  };
} result_accepted;

typedef struct {
  uint8_t *data;
  size_t length;
} bytes;

typedef struct {
  bytes data;
  ip_socket_address remote;
} incoming_datagram;

typedef struct {
  bytes data;
  uint8_t has_remote;
  ip_socket_address remote;
} outgoing_datagram;

typedef struct {
  uint8_t failed;
  union {
    struct {
      incoming_datagram *items;
      size_t length;
    } datagrams;
    uint8_t error;
  };
} result_datagrams;

/* stream-error: `error` is a handle to drop, where `kind` is STREAM_FAILED. */
enum { STREAM_FAILED, STREAM_CLOSED };

typedef struct {
  uint8_t kind;
  handle error;
} stream_error;

typedef struct {
  uint8_t failed;
  stream_error error;
} stream_unit;

typedef struct {
  uint8_t failed;
  union {
    uint64_t value;
    stream_error error;
  };
} stream_u64;

typedef struct {
  uint8_t failed;
  union {
    bytes value;
    stream_error error;
  };
} stream_bytes;

_Static_assert(sizeof(ip_address) == 18 && sizeof(ip_socket_address) == 32, "canonical ABI");
_Static_assert(sizeof(result_next_address) == 22 && sizeof(result_address) == 36, "canonical ABI");
_Static_assert(sizeof(incoming_datagram) == 40 && sizeof(outgoing_datagram) == 44, "canonical ABI");
_Static_assert(sizeof(stream_unit) == 12 && sizeof(stream_u64) == 16, "canonical ABI");

/* ---- wasi:io ---- */

WASI("io/error", "[method]error.to-debug-string") void error_to_debug_string(handle error, bytes *text);
WASI("io/error", "[resource-drop]error") void drop_error(handle error);

WASI("io/poll", "[method]pollable.ready") int32_t pollable_ready(handle pollable);
WASI("io/poll", "[method]pollable.block") void pollable_block(handle pollable);
WASI("io/poll", "[resource-drop]pollable") void drop_pollable(handle pollable);

typedef struct {
  uint32_t *items;
  size_t length;
} indices;

WASI("io/poll", "poll") void poll_list(const handle *pollables, size_t length, indices *ready);

WASI("io/streams", "[method]input-stream.read") void stream_read(handle input, uint64_t length, stream_bytes *result);
WASI("io/streams", "[method]input-stream.blocking-read")
void stream_blocking_read(handle input, uint64_t length, stream_bytes *result);
WASI("io/streams", "[method]input-stream.skip") void stream_skip(handle input, uint64_t length, stream_u64 *result);
WASI("io/streams", "[method]input-stream.blocking-skip")
void stream_blocking_skip(handle input, uint64_t length, stream_u64 *result);
WASI("io/streams", "[method]input-stream.subscribe") handle input_subscribe(handle input);
WASI("io/streams", "[resource-drop]input-stream") void drop_input(handle input);

WASI("io/streams", "[method]output-stream.check-write") void stream_check_write(handle output, stream_u64 *result);
WASI("io/streams", "[method]output-stream.write")
void stream_write(handle output, const void *data, size_t length, stream_unit *result);
WASI("io/streams", "[method]output-stream.blocking-write-and-flush")
void stream_blocking_write_and_flush(handle output, const void *data, size_t length, stream_unit *result);
WASI("io/streams", "[method]output-stream.flush") void stream_flush(handle output, stream_unit *result);
WASI("io/streams", "[method]output-stream.blocking-flush")
void stream_blocking_flush(handle output, stream_unit *result);
WASI("io/streams", "[method]output-stream.subscribe") handle output_subscribe(handle output);
WASI("io/streams", "[method]output-stream.write-zeroes")
void stream_write_zeroes(handle output, uint64_t length, stream_unit *result);
WASI("io/streams", "[method]output-stream.blocking-write-zeroes-and-flush")
void stream_blocking_write_zeroes_and_flush(handle output, uint64_t length, stream_unit *result);
WASI("io/streams", "[method]output-stream.splice")
void stream_splice(handle output, handle input, uint64_t length, stream_u64 *result);
WASI("io/streams", "[method]output-stream.blocking-splice")
void stream_blocking_splice(handle output, handle input, uint64_t length, stream_u64 *result);
WASI("io/streams", "[resource-drop]output-stream") void drop_output(handle output);

/* ---- wasi:clocks, wasi:cli: times are nanoseconds ---- */

WASI("clocks/monotonic-clock", "now") uint64_t monotonic_now(void);
WASI("clocks/monotonic-clock", "subscribe-duration") handle subscribe_duration(uint64_t nanoseconds);

WASI("cli/stdin", "get-stdin") handle get_stdin(void);

/* ---- wasi:sockets: network, names ---- */

WASI("sockets/instance-network", "instance-network") handle instance_network(void);
WASI("sockets/network", "[resource-drop]network") void drop_network(handle network);

WASI("sockets/ip-name-lookup", "resolve-addresses")
void resolve_addresses(handle network, const char *name, size_t length, result_handle *stream);
WASI("sockets/ip-name-lookup", "[method]resolve-address-stream.resolve-next-address")
void resolve_next_address(handle stream, result_next_address *result);
WASI("sockets/ip-name-lookup", "[method]resolve-address-stream.subscribe") handle resolve_subscribe(handle stream);
WASI("sockets/ip-name-lookup", "[resource-drop]resolve-address-stream")
void drop_resolve_address_stream(handle stream);

/* ---- wasi:sockets: TCP; keep-alive times are nanoseconds, buffer sizes bytes ---- */

#define TCP(method) WASI("sockets/tcp", "[method]tcp-socket." method)

WASI("sockets/tcp-create-socket", "create-tcp-socket") void create_tcp_socket(int32_t family, result_handle *socket);
WASI("sockets/tcp", "[resource-drop]tcp-socket") void drop_tcp_socket(handle socket);

TCP("start-bind") void tcp_start_bind(handle socket, handle network, ADDRESS_WORDS, result_unit *result);
TCP("finish-bind") void tcp_finish_bind(handle socket, result_unit *result);
TCP("start-connect") void tcp_start_connect(handle socket, handle network, ADDRESS_WORDS, result_unit *result);
TCP("finish-connect") void tcp_finish_connect(handle socket, result_streams *result);
TCP("start-listen") void tcp_start_listen(handle socket, result_unit *result);
TCP("finish-listen") void tcp_finish_listen(handle socket, result_unit *result);
TCP("accept") void tcp_accept(handle socket, result_accepted *result);
TCP("local-address") void tcp_local_address(handle socket, result_address *result);
TCP("remote-address") void tcp_remote_address(handle socket, result_address *result);
TCP("is-listening") int32_t tcp_is_listening(handle socket);
TCP("address-family") int32_t tcp_address_family(handle socket);
TCP("set-listen-backlog-size") void tcp_set_listen_backlog_size(handle socket, uint64_t value, result_unit *result);
TCP("keep-alive-enabled") void tcp_keep_alive_enabled(handle socket, result_u8 *result);
TCP("set-keep-alive-enabled") void tcp_set_keep_alive_enabled(handle socket, int32_t value, result_unit *result);
TCP("keep-alive-idle-time") void tcp_keep_alive_idle_time(handle socket, result_u64 *result);
TCP("set-keep-alive-idle-time") void tcp_set_keep_alive_idle_time(handle socket, uint64_t value, result_unit *result);
TCP("keep-alive-interval") void tcp_keep_alive_interval(handle socket, result_u64 *result);
TCP("set-keep-alive-interval") void tcp_set_keep_alive_interval(handle socket, uint64_t value, result_unit *result);
TCP("keep-alive-count") void tcp_keep_alive_count(handle socket, result_u32 *result);
TCP("set-keep-alive-count") void tcp_set_keep_alive_count(handle socket, uint32_t value, result_unit *result);
TCP("hop-limit") void tcp_hop_limit(handle socket, result_u8 *result);
TCP("set-hop-limit") void tcp_set_hop_limit(handle socket, int32_t value, result_unit *result);
TCP("receive-buffer-size") void tcp_receive_buffer_size(handle socket, result_u64 *result);
TCP("set-receive-buffer-size") void tcp_set_receive_buffer_size(handle socket, uint64_t value, result_unit *result);
TCP("send-buffer-size") void tcp_send_buffer_size(handle socket, result_u64 *result);
TCP("set-send-buffer-size") void tcp_set_send_buffer_size(handle socket, uint64_t value, result_unit *result);
TCP("subscribe") handle tcp_subscribe(handle socket);
TCP("shutdown") void tcp_shutdown(handle socket, int32_t type, result_unit *result);

/* ---- wasi:sockets: UDP ---- */

#define UDP(method) WASI("sockets/udp", "[method]udp-socket." method)

WASI("sockets/udp-create-socket", "create-udp-socket") void create_udp_socket(int32_t family, result_handle *socket);
WASI("sockets/udp", "[resource-drop]udp-socket") void drop_udp_socket(handle socket);

UDP("start-bind") void udp_start_bind(handle socket, handle network, ADDRESS_WORDS, result_unit *result);
UDP("finish-bind") void udp_finish_bind(handle socket, result_unit *result);
UDP("stream") void udp_stream(handle socket, int32_t has_remote, ADDRESS_WORDS, result_streams *result);
UDP("local-address") void udp_local_address(handle socket, result_address *result);
UDP("remote-address") void udp_remote_address(handle socket, result_address *result);
UDP("address-family") int32_t udp_address_family(handle socket);
UDP("unicast-hop-limit") void udp_unicast_hop_limit(handle socket, result_u8 *result);
UDP("set-unicast-hop-limit") void udp_set_unicast_hop_limit(handle socket, int32_t value, result_unit *result);
UDP("receive-buffer-size") void udp_receive_buffer_size(handle socket, result_u64 *result);
UDP("set-receive-buffer-size") void udp_set_receive_buffer_size(handle socket, uint64_t value, result_unit *result);
UDP("send-buffer-size") void udp_send_buffer_size(handle socket, result_u64 *result);
UDP("set-send-buffer-size") void udp_set_send_buffer_size(handle socket, uint64_t value, result_unit *result);
UDP("subscribe") handle udp_subscribe(handle socket);

WASI("sockets/udp", "[method]incoming-datagram-stream.receive")
void incoming_receive(handle incoming, uint64_t max_results, result_datagrams *result);
WASI("sockets/udp", "[method]incoming-datagram-stream.subscribe") handle incoming_subscribe(handle incoming);
WASI("sockets/udp", "[resource-drop]incoming-datagram-stream") void drop_incoming(handle incoming);

WASI("sockets/udp", "[method]outgoing-datagram-stream.check-send")
void outgoing_check_send(handle outgoing, result_u64 *result);
WASI("sockets/udp", "[method]outgoing-datagram-stream.send")
void outgoing_send(handle outgoing, const outgoing_datagram *datagrams, size_t length, result_u64 *result);
WASI("sockets/udp", "[method]outgoing-datagram-stream.subscribe") handle outgoing_subscribe(handle outgoing);
WASI("sockets/udp", "[resource-drop]outgoing-datagram-stream") void drop_outgoing(handle outgoing);

#endif
