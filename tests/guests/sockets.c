/*
 * sockets: one guest for what WASI 0.2 sockets answer, right uses and wrong ones. README.md lists the subcommands.
 *
 *     sockets SUBCOMMAND [ARGUMENT...] [-- SUBCOMMAND [ARGUMENT...]]...
 *
 * Each call that matters prints one line, written at once: `CALL ok[ KEY=VALUE...]` or `CALL error=NAME`, NAME being
 * the interface's own. It calls the interfaces themselves (sockets.h), not a libc: nothing is checked before the host
 * sees it.
 */

#include "sockets.h"

#include <string.h>
#include <wasi/api.h>

DEFINE_CABI_REALLOC

#define CHUNK 65536
#define MAX_MANY 20000
#define PATIENCE 5000000000ull /* nanoseconds; a wait without an end of its own gives up after it */

/* ---- output ---- */

static char line[1 << 14];
static size_t line_length;

static void put_bytes(const void *data, size_t length) {
  for (size_t i = 0; i < length && line_length < sizeof line - 8; i++) line[line_length++] = ((const char *)data)[i];
}

static void put(const char *text) { put_bytes(text, strlen(text)); }

static void put_digits(uint64_t value, unsigned base) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = "0123456789abcdef"[value % base]; while (value /= base);
  put_bytes(digits + at, sizeof digits - at);
}

static void put_number(uint64_t value) { put_digits(value, 10); }

static void put_key(const char *key, uint64_t value) {
  put(" ");
  put(key);
  put("=");
  put_number(value);
}

static void put_quoted(const char *key, const void *data, size_t length) {
  put(" ");
  put(key);
  put("=\"");
  for (size_t i = 0; i < length; i++) {
    uint8_t byte = ((const uint8_t *)data)[i];
    if (byte >= 0x20 && byte < 0x7f && byte != '\\' && byte != '"') {
      put_bytes(&byte, 1);
    } else {
      char code[4] = {'\\', 'x', "0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
      put_bytes(code, 4);
    }
  }
  put("\"");
}

static void put_ip(const ip_address *ip) {
  for (int i = 0; i < (ip->kind == IPV4 ? 4 : 8); i++) {
    if (i) put(ip->kind == IPV4 ? "." : ":");
    put_digits(ip->kind == IPV4 ? ip->v4[i] : ip->v6[i], ip->kind == IPV4 ? 10 : 16);
  }
}

/* Eight groups for IPv6, nothing shortened, then %SCOPE and #FLOW where they are not 0. A port above 32767 that was not
 * asked for is one that the host chose, and differs from run to run: it is `*`. */
static void put_address(const char *key, const ip_socket_address *address, uint32_t asked) {
  ip_address ip = {.kind = address->kind};
  uint16_t port = address->kind == IPV4 ? address->v4.port : address->v6.port;
  if (address->kind == IPV4) memcpy(ip.v4, address->v4.address, sizeof ip.v4);
  else memcpy(ip.v6, address->v6.address, sizeof ip.v6);
  put(" ");
  put(key);
  put("=");
  if (address->kind == IPV6) put("[");
  put_ip(&ip);
  if (address->kind == IPV6) {
    if (address->v6.scope_id) put("%"), put_number(address->v6.scope_id);
    if (address->v6.flow_info) put("#"), put_number(address->v6.flow_info);
    put("]");
  }
  put(":");
  if (port > 32767 && port != asked) put("*");
  else put_number(port);
}

/* A closed or refused stream is no reason to stop: later attempts must still be made. */
static void flush_line(void) {
  put("\n");
  for (size_t done = 0; done < line_length;) {
    __wasi_ciovec_t piece = {(const uint8_t *)line + done, line_length - done};
    __wasi_size_t written = 0;
    if (__wasi_fd_write(1, &piece, 1, &written) || !written) break;
    done += written;
  }
  line_length = 0;
}

/* Every line of `states` and `options` begins with the state that the socket is in. */
static const char *state_prefix;

static void begin(const char *call) {
  if (state_prefix) put(state_prefix), put(" ");
  put(call);
}

static void begin_ok(const char *call) {
  begin(call);
  put(" ok");
}

static void say_ok(const char *call) {
  begin_ok(call);
  flush_line();
}

static void say_error(const char *call, const char *name) {
  begin(call);
  put(" error=");
  put(name);
  flush_line();
}

/* Says it when a call failed; true when it did not. */
static bool passed(const char *call, uint8_t failed, uint8_t error) {
  if (failed) say_error(call, error_code_name(error));
  return !failed;
}

static void say_stream_error(const char *call, stream_error error) {
  if (error.kind == STREAM_CLOSED) {
    say_error(call, "closed");
    return;
  }
  bytes text;
  error_to_debug_string(error.error, &text);
  drop_error(error.error);
  begin(call);
  put(" error=last-operation-failed");
  put_quoted("text", text.data, text.length);
  flush_line();
  if (text.length) free(text.data);
}

static bool stream_passed(const char *call, uint8_t failed, stream_error error) {
  if (failed) say_stream_error(call, error);
  return !failed;
}

/* Says what a call came to, either way. */
static bool said(const char *call, result_unit result) {
  if (!passed(call, result.failed, result.error)) return false;
  say_ok(call);
  return true;
}

static bool stream_said(const char *call, stream_unit result) {
  if (!stream_passed(call, result.failed, result.error)) return false;
  say_ok(call);
  return true;
}

static bool stream_count_said(const char *call, stream_u64 result) {
  if (!stream_passed(call, result.failed, result.error)) return false;
  begin_ok(call);
  put_key("value", result.value);
  flush_line();
  return true;
}

static void say_data(const char *call, const void *data, size_t length) {
  begin_ok(call);
  put_key("bytes", length);
  put_quoted("data", data, length < 64 ? length : 64);
  flush_line();
}

static void bytes_said(const char *call, stream_bytes result) {
  if (!stream_passed(call, result.failed, result.error)) return;
  say_data(call, result.value.data, result.value.length);
  if (result.value.length) free(result.value.data);
}

/* ---- addresses ---- */

static uint64_t number(const char *text) { return strtoull(text, NULL, 10); }

/*
 * 127.0.0.1                     IPv4
 * fe80::1%2#7, ::ffff:1.2.3.4   IPv6 in any spelling, with a scope-id and a flow-info if wanted
 * words4:383.0.0.1              words to pass as they are, even where they are wider than their type; words6: likewise
 *
 * A port is passed as it is, too. An address that is none of these is IPv4's 0.0.0.0.
 */
static flat_address parse_address(const char *text, const char *port) {
  flat_address flat = {.kind = IPV4, .word = {(int32_t)number(port)}};
  bool words = !strncmp(text, "words", 5) && text[5] && text[6] == ':';
  if (words || !strchr(text, ':')) {
    int at = 1;
    if (words && text[5] == '6') flat.kind = IPV6, at = 2;
    for (const char *from = words ? text + 7 : text; from && at < 10; from = strchr(from, '.')) {
      if (*from == '.') from++;
      flat.word[at++] = (int32_t)number(from);
    }
    return flat;
  }
  flat.kind = IPV6;
  uint16_t groups[8] = {0};
  int count = 0, gap = -1;
  const char *at = text;
  if (*at == ':') at++;
  while (count < 8 && *at && *at != '%' && *at != '#') {
    if (*at == ':') {
      gap = count;
      at++;
      continue;
    }
    const char *end = at + strspn(at, "0123456789abcdefABCDEF");
    if (*end == '.' && count < 7) {
      flat_address v4 = parse_address(at, "0");
      groups[count++] = (uint16_t)(v4.word[1] << 8 | v4.word[2]);
      groups[count++] = (uint16_t)(v4.word[3] << 8 | v4.word[4]);
      at += strspn(at, "0123456789.");
    } else {
      if (end == at) break;
      groups[count++] = (uint16_t)strtoul(at, NULL, 16);
      at = *end == ':' ? end + 1 : end;
    }
  }
  for (int i = 0; i < count; i++) flat.word[2 + (gap >= 0 && i >= gap ? i + 8 - count : i)] = groups[i];
  const char *scope = strchr(text, '%'), *flow = strchr(text, '#');
  if (scope) flat.word[10] = (int32_t)number(scope + 1);
  if (flow) flat.word[1] = (int32_t)number(flow + 1);
  return flat;
}

static ip_socket_address unflatten(flat_address flat) {
  ip_socket_address address = {.kind = (uint8_t)flat.kind};
  if (flat.kind == IPV4) {
    address.v4.port = (uint16_t)flat.word[0];
    for (int i = 0; i < 4; i++) address.v4.address[i] = (uint8_t)flat.word[1 + i];
  } else {
    address.v6.port = (uint16_t)flat.word[0];
    address.v6.flow_info = (uint32_t)flat.word[1];
    for (int i = 0; i < 8; i++) address.v6.address[i] = (uint16_t)flat.word[2 + i];
    address.v6.scope_id = (uint32_t)flat.word[10];
  }
  return address;
}

static flat_address unspecified(int32_t family) { return (flat_address){.kind = family}; }

static flat_address loopback(int32_t family) {
  flat_address flat = {.kind = family};
  if (family == IPV4) flat.word[1] = 127, flat.word[4] = 1;
  else flat.word[9] = 1;
  return flat;
}

/* ---- waiting ---- */

static handle network;

/* Waits for a pollable; false after PATIENCE. */
static bool block_at_most(handle pollable) {
  handle both[2] = {pollable, subscribe_duration(PATIENCE)};
  indices ready;
  poll_list(both, 2, &ready);
  bool came = false;
  for (size_t i = 0; i < ready.length; i++) came |= ready.items[i] == 0;
  free(ready.items);
  drop_pollable(both[1]);
  return came;
}

/* The same, and drops it. */
static bool wait_for(handle pollable) {
  bool came = block_at_most(pollable);
  drop_pollable(pollable);
  return came;
}

static bool is_ready(handle pollable) {
  bool ready = pollable_ready(pollable);
  drop_pollable(pollable);
  return ready;
}

/* ---- TCP, step by step ---- */

typedef struct {
  handle socket, input, output;
} connection;

static bool new_tcp(int32_t family, handle *socket) {
  result_handle created;
  create_tcp_socket(family, &created);
  if (!passed("create-tcp-socket", created.failed, created.error)) return false;
  *socket = created.value;
  return true;
}

static result_streams finish_connecting(handle socket) {
  for (;;) {
    result_streams result;
    tcp_finish_connect(socket, &result);
    if (!result.failed || result.error != ERROR_WOULD_BLOCK || !wait_for(tcp_subscribe(socket))) return result;
  }
}

/* Silent where all goes well. */
static bool connect_socket(handle socket, flat_address to, connection *c) {
  result_unit started;
  tcp_start_connect(socket, network, SPREAD(to), &started);
  if (!passed("start-connect", started.failed, started.error)) return false;
  result_streams finished = finish_connecting(socket);
  if (!passed("finish-connect", finished.failed, finished.error)) return false;
  *c = (connection){socket, finished.streams.input, finished.streams.output};
  return true;
}

static bool connect_to(flat_address to, connection *c) {
  handle socket;
  if (!new_tcp(to.kind, &socket)) return false;
  if (connect_socket(socket, to, c)) return true;
  drop_tcp_socket(socket);
  return false;
}

static void disconnect(connection c) {
  drop_input(c.input);
  drop_output(c.output);
  drop_tcp_socket(c.socket);
}

static result_unit finish_binding(handle socket) {
  for (;;) {
    result_unit result;
    tcp_finish_bind(socket, &result);
    if (!result.failed || result.error != ERROR_WOULD_BLOCK || !wait_for(tcp_subscribe(socket))) return result;
  }
}

static bool bind_socket(handle socket, flat_address at) {
  result_unit result;
  tcp_start_bind(socket, network, SPREAD(at), &result);
  if (!passed("start-bind", result.failed, result.error)) return false;
  result = finish_binding(socket);
  return passed("finish-bind", result.failed, result.error);
}

static result_unit finish_listening(handle socket) {
  for (;;) {
    result_unit result;
    tcp_finish_listen(socket, &result);
    if (!result.failed || result.error != ERROR_WOULD_BLOCK || !wait_for(tcp_subscribe(socket))) return result;
  }
}

static bool listen_socket(handle socket) {
  result_unit result;
  tcp_start_listen(socket, &result);
  if (!passed("start-listen", result.failed, result.error)) return false;
  result = finish_listening(socket);
  return passed("finish-listen", result.failed, result.error);
}

static bool new_listener(flat_address at, handle *socket) {
  if (!new_tcp(at.kind, socket)) return false;
  if (bind_socket(*socket, at) && listen_socket(*socket)) return true;
  drop_tcp_socket(*socket);
  return false;
}

static void say_address(const char *call, result_address result, uint32_t asked) {
  if (!passed(call, result.failed, result.error)) return;
  begin_ok(call);
  put_address("address", &result.value, asked);
  flush_line();
}

static void say_tcp_addresses(handle socket, uint32_t local_port, uint32_t remote_port) {
  result_address result;
  tcp_local_address(socket, &result);
  say_address("local-address", result, local_port);
  tcp_remote_address(socket, &result);
  say_address("remote-address", result, remote_port);
}

/* Writes all, waiting for room as wasi-libc does; the error is said. */
static bool write_all(connection c, const void *data, size_t length) {
  while (length) {
    stream_u64 permit;
    stream_check_write(c.output, &permit);
    if (!stream_passed("check-write", permit.failed, permit.error)) return false;
    if (!permit.value) {
      if (wait_for(output_subscribe(c.output))) continue;
      say_error("check-write", "patience");
      return false;
    }
    size_t count = permit.value < length ? (size_t)permit.value : length;
    stream_unit written;
    stream_write(c.output, data, count, &written);
    if (!stream_passed("write", written.failed, written.error)) return false;
    data = (const char *)data + count;
    length -= count;
  }
  return true;
}

/* Waits for something to read; a result that failed is not said. */
static stream_bytes read_some(connection c, uint64_t most) {
  for (uint64_t from = monotonic_now();;) {
    stream_bytes got;
    stream_read(c.input, most, &got);
    if (got.failed || got.value.length || monotonic_now() - from > PATIENCE) return got;
    wait_for(input_subscribe(c.input));
  }
}

/* Reads until `most` bytes, the end, an error or PATIENCE, and says what came, then how it ended if before `most`. */
static void read_and_say(connection c, size_t most) {
  static char kept[64];
  uint64_t total = 0;
  stream_bytes got = {0};
  while (total < most) {
    got = read_some(c, most - total < CHUNK ? most - total : CHUNK);
    if (got.failed || !got.value.length) break;
    for (size_t i = 0; i < got.value.length && total + i < sizeof kept; i++) kept[total + i] = (char)got.value.data[i];
    total += got.value.length;
    free(got.value.data);
  }
  begin_ok("read");
  put_key("bytes", total);
  put_quoted("data", kept, total < sizeof kept ? (size_t)total : sizeof kept);
  flush_line();
  if (got.failed) say_stream_error("read", got.error);
  else if (total < most) say_error("read", "patience");
}

#define TO_END ((size_t)-1)

static result_unit shut(handle socket, int32_t type) {
  result_unit result;
  tcp_shutdown(socket, type, &result);
  return result;
}

static void exchange(connection c, const char *message) {
  if (!write_all(c, message, strlen(message))) return;
  if (said("shutdown", shut(c.socket, SHUTDOWN_SEND))) read_and_say(c, TO_END);
}

/* ---- subcommands: connections ---- */

static void op_connect(int n, char **a) {
  flat_address to = parse_address(a[0], a[1]);
  connection c;
  if (!connect_to(to, &c)) return;
  say_ok("connect");
  say_tcp_addresses(c.socket, 0, (uint32_t)to.word[0]);
  if (n > 2) exchange(c, a[2]);
  disconnect(c);
}

static void op_bind(int n, char **a) {
  (void)n;
  flat_address at = parse_address(a[0], a[1]);
  handle socket;
  if (!new_tcp(at.kind, &socket)) return;
  if (bind_socket(socket, at)) {
    say_ok("bind");
    say_tcp_addresses(socket, (uint32_t)at.word[0], 0);
  }
  drop_tcp_socket(socket);
}

static void op_bind_connect(int n, char **a) {
  (void)n;
  flat_address at = parse_address(a[0], a[1]), to = parse_address(a[2], a[3]);
  handle socket;
  connection c;
  if (!new_tcp(at.kind, &socket)) return;
  if (bind_socket(socket, at)) {
    say_ok("bind");
    if (connect_socket(socket, to, &c)) {
      say_ok("connect");
      say_tcp_addresses(socket, (uint32_t)at.word[0], (uint32_t)to.word[0]);
      drop_input(c.input);
      drop_output(c.output);
    }
  }
  drop_tcp_socket(socket);
}

static void op_connect_edges(int n, char **a) {
  (void)n;
  static const char *const edges[][2] = {
      {"127.0.0.1", "0"}, {"::1", "0"},        {"0.0.0.0", NULL},       {"::", NULL},
      {"224.0.0.1", NULL}, {"ff02::1", NULL},  {"255.255.255.255", NULL}, {"::ffff:127.0.0.1", NULL},
      {"::127.0.0.1", NULL}, {"::ffff:0.0.0.0", NULL},
  };
  for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
    connection c;
    state_prefix = edges[i][0];
    if (connect_to(parse_address(edges[i][0], edges[i][1] ? edges[i][1] : a[0]), &c)) {
      say_ok("connect");
      disconnect(c);
    }
  }
  state_prefix = NULL;
}

static void op_many(int n, char **a) {
  (void)n;
  static connection open[MAX_MANY];
  uint64_t wanted = number(a[0]);
  size_t count = 0;
  while (count < wanted && count < MAX_MANY && connect_to(parse_address(a[1], a[2]), &open[count])) count++;
  begin_ok("many");
  put_key("open", count);
  flush_line();
  while (count) disconnect(open[--count]);
}

static void op_many_sockets(int n, char **a) {
  (void)n;
  static handle open[MAX_MANY];
  uint64_t wanted = number(a[0]);
  size_t count = 0;
  while (count < wanted && count < MAX_MANY && new_tcp(IPV4, &open[count])) count++;
  begin_ok("many-sockets");
  put_key("open", count);
  flush_line();
  while (count) drop_tcp_socket(open[--count]);
}

static void op_listen(int n, char **a) {
  (void)n;
  handle listener;
  flat_address at = parse_address(a[0], a[1]);
  if (!new_listener(at, &listener)) return;
  result_address local;
  tcp_local_address(listener, &local);
  if (!passed("local-address", local.failed, local.error)) return;
  begin_ok("listen");
  put_address("address", &local.value, local.value.kind == IPV4 ? local.value.v4.port : local.value.v6.port);
  flush_line();
  uint64_t wanted = number(a[2]), count = 0, total = 0;
  while (count < wanted) {
    result_accepted accepted;
    tcp_accept(listener, &accepted);
    if (accepted.failed && accepted.error == ERROR_WOULD_BLOCK) {
      handle pollable = tcp_subscribe(listener);
      pollable_block(pollable);
      drop_pollable(pollable);
      continue;
    }
    if (!passed("accept", accepted.failed, accepted.error)) break;
    connection c = {accepted.peer.socket, accepted.peer.input, accepted.peer.output};
    for (;;) {
      stream_bytes got = read_some(c, CHUNK);
      if (got.failed || !got.value.length) {
        if (!got.failed) say_error("read", "patience");
        else if (got.error.kind == STREAM_FAILED) say_stream_error("read", got.error);
        break;
      }
      total += got.value.length;
      bool written = write_all(c, got.value.data, got.value.length);
      free(got.value.data);
      if (!written) break;
    }
    disconnect(c);
    count++;
  }
  begin_ok("echo");
  put_key("connections", count);
  put_key("bytes", total);
  flush_line();
  drop_tcp_socket(listener);
}

/* ---- subcommands: names ---- */

#define MAX_ADDRESSES 1024

/* All addresses of a name, in the host's order; an error is said. */
static bool look_up(const char *name, ip_address *found, size_t *count) {
  result_handle stream;
  *count = 0;
  resolve_addresses(network, name, strlen(name), &stream);
  if (!passed("resolve-addresses", stream.failed, stream.error)) return false;
  result_next_address next;
  for (;;) {
    resolve_next_address(stream.value, &next);
    if (next.failed && next.error == ERROR_WOULD_BLOCK && wait_for(resolve_subscribe(stream.value))) continue;
    if (next.failed || !next.next.some || *count == MAX_ADDRESSES) break;
    found[(*count)++] = next.next.address;
  }
  bool whole = passed("resolve-next-address", next.failed, next.error);
  drop_resolve_address_stream(stream.value);
  return whole;
}

static ip_address found[MAX_ADDRESSES];

static void op_lookup(int n, char **a) {
  (void)n;
  size_t count;
  bool whole = look_up(a[0], found, &count);
  if (!whole && !count) return;
  begin_ok("lookup");
  put_key("count", count);
  put(" addresses=");
  for (size_t i = 0; i < count; i++) {
    if (i) put(",");
    put_ip(&found[i]);
  }
  flush_line();
}

static void op_fetch(int n, char **a) {
  (void)n;
  size_t count;
  if (!look_up(a[0], found, &count)) return;
  for (size_t i = 0; i < count; i++) {
    ip_socket_address to = socket_address(&found[i], (uint16_t)number(a[1]));
    put("try");
    put_address("address", &to, (uint32_t)number(a[1]));
    flush_line();
    connection c;
    if (!connect_to(flatten(&to), &c)) continue;
    const char *pieces[] = {"GET ", a[2], " HTTP/1.0\r\nHost: ", a[0], "\r\nConnection: close\r\n\r\n"};
    bool sent = true;
    for (size_t p = 0; sent && p < sizeof pieces / sizeof pieces[0]; p++) {
      sent = write_all(c, pieces[p], strlen(pieces[p]));
    }
    static char page[CHUNK];
    size_t length = 0;
    stream_bytes got = {0};
    while (sent && length < sizeof page) {
      got = read_some(c, sizeof page - length);
      if (got.failed || !got.value.length) break;
      memcpy(page + length, got.value.data, got.value.length);
      length += got.value.length;
      free(got.value.data);
    }
    if (got.failed && got.error.kind == STREAM_FAILED) say_stream_error("read", got.error);
    static const char blank[] = "\r\n\r\n";
    size_t body = 0, head = 0;
    while (head < length && page[head] != '\r') head++;
    while (body < length && memcmp(page + body, blank, length - body < 4 ? length - body : 4)) body++;
    body = body + 4 < length ? body + 4 : length;
    begin_ok("fetch");
    put_quoted("status", page, head);
    put_key("bytes", length - body);
    put_quoted("data", page + body, length - body < 64 ? length - body : 64);
    flush_line();
    disconnect(c);
    return;
  }
  say_error("fetch", "no-address");
}

/* ---- subcommands: UDP ---- */

static bool new_udp(int32_t family, handle *socket) {
  result_handle created;
  create_udp_socket(family, &created);
  if (!passed("create-udp-socket", created.failed, created.error)) return false;
  *socket = created.value;
  return true;
}

static bool bind_udp(handle socket, flat_address at) {
  result_unit result;
  udp_start_bind(socket, network, SPREAD(at), &result);
  if (!passed("start-bind", result.failed, result.error)) return false;
  do udp_finish_bind(socket, &result);
  while (result.failed && result.error == ERROR_WOULD_BLOCK && wait_for(udp_subscribe(socket)));
  return passed("finish-bind", result.failed, result.error);
}

static bool open_udp(handle socket, const flat_address *remote, result_streams *streams) {
  flat_address none = {0};
  udp_stream(socket, remote != NULL, SPREAD(*(remote ? remote : &none)), streams);
  return passed("stream", streams->failed, streams->error);
}

static void drop_udp_streams(result_streams streams) {
  drop_incoming(streams.streams.input);
  drop_outgoing(streams.streams.output);
}

/* check-send, then send once; says how many were sent, or what failed. */
static bool send_datagram(handle outgoing, const void *data, size_t length, const flat_address *remote) {
  result_u64 permit, sent;
  do outgoing_check_send(outgoing, &permit);
  while (!permit.failed && !permit.value && wait_for(outgoing_subscribe(outgoing)));
  if (!passed("check-send", permit.failed, permit.error)) return false;
  if (!permit.value) {
    say_error("check-send", "patience");
    return false;
  }
  outgoing_datagram datagram = {{(uint8_t *)(uintptr_t)data, length}, remote != NULL, {0}};
  if (remote) datagram.remote = unflatten(*remote);
  outgoing_send(outgoing, &datagram, 1, &sent);
  if (!passed("send", sent.failed, sent.error)) return false;
  begin_ok("send");
  put_key("datagrams", sent.value);
  flush_line();
  return true;
}

/* A pollable may go on being ready with nothing there: PATIENCE counts over all waits. */
static result_datagrams receive_some(handle incoming) {
  for (uint64_t from = monotonic_now();;) {
    result_datagrams got;
    incoming_receive(incoming, 16, &got);
    if (got.failed || got.datagrams.length || monotonic_now() - from > PATIENCE) return got;
    wait_for(incoming_subscribe(incoming));
  }
}

static void free_datagrams(result_datagrams got) {
  for (size_t i = 0; i < got.datagrams.length; i++) {
    if (got.datagrams.items[i].data.length) free(got.datagrams.items[i].data.data);
  }
  if (got.datagrams.length) free(got.datagrams.items);
}

static void receive_and_say(handle incoming, uint32_t asked) {
  result_datagrams got = receive_some(incoming);
  if (!passed("receive", got.failed, got.error)) return;
  if (!got.datagrams.length) say_error("receive", "patience");
  for (size_t i = 0; i < got.datagrams.length; i++) {
    bytes data = got.datagrams.items[i].data;
    begin_ok("receive");
    put_key("bytes", data.length);
    put_quoted("data", data.data, data.length < 64 ? data.length : 64);
    put_address("remote", &got.datagrams.items[i].remote, asked);
    flush_line();
  }
  free_datagrams(got);
}

static void say_udp_addresses(handle socket, uint32_t local_port, uint32_t remote_port) {
  result_address result;
  udp_local_address(socket, &result);
  say_address("local-address", result, local_port);
  udp_remote_address(socket, &result);
  say_address("remote-address", result, remote_port);
}

static void udp_exchange(char **a, bool bound, bool connected, bool named) {
  flat_address to = parse_address(a[0], a[1]);
  handle socket;
  result_streams streams;
  if (!new_udp(to.kind, &socket)) return;
  if ((!bound || bind_udp(socket, unspecified(to.kind))) && open_udp(socket, connected ? &to : NULL, &streams)) {
    say_udp_addresses(socket, 0, (uint32_t)to.word[0]);
    if (send_datagram(streams.streams.output, a[2], strlen(a[2]), named ? &to : NULL)) {
      receive_and_say(streams.streams.input, (uint32_t)to.word[0]);
    }
    drop_udp_streams(streams);
  }
  drop_udp_socket(socket);
}

static void op_udp_ask(int n, char **a) {
  (void)n;
  udp_exchange(a, true, true, false);
}

static void op_udp_sendto(int n, char **a) {
  (void)n;
  udp_exchange(a, true, false, true);
}

static void op_udp_unbound(int n, char **a) {
  (void)n;
  udp_exchange(a, false, true, false);
  udp_exchange(a, false, false, true);
}

/* A stream to one address, a datagram to another. */
static void op_udp_elsewhere(int n, char **a) {
  (void)n;
  flat_address to = parse_address(a[0], a[1]), elsewhere = parse_address(a[2], a[3]);
  handle socket;
  result_streams streams;
  if (!new_udp(to.kind, &socket)) return;
  if (bind_udp(socket, unspecified(to.kind)) && open_udp(socket, &to, &streams)) {
    send_datagram(streams.streams.output, a[4], strlen(a[4]), &elsewhere);
    send_datagram(streams.streams.output, a[4], strlen(a[4]), &to);
    receive_and_say(streams.streams.input, (uint32_t)to.word[0]);
    drop_udp_streams(streams);
  }
  drop_udp_socket(socket);
}

static void op_udp_bind(int n, char **a) {
  flat_address at = parse_address(a[0], a[1]);
  handle socket;
  result_streams streams;
  if (!new_udp(at.kind, &socket)) return;
  if (bind_udp(socket, at)) {
    result_address local;
    udp_local_address(socket, &local);
    if (!passed("local-address", local.failed, local.error)) return;
    begin_ok("bind");
    uint32_t asked = n > 2 && local.value.kind == IPV4 ? local.value.v4.port : (uint32_t)at.word[0];
    put_address("address", &local.value, asked);
    flush_line();
    if (n > 2 && open_udp(socket, NULL, &streams)) {
      uint64_t wanted = number(a[2]), count = 0;
      while (count < wanted) {
        result_datagrams got = receive_some(streams.streams.input);
        if (!passed("receive", got.failed, got.error) || !got.datagrams.length) break;
        for (size_t i = 0; i < got.datagrams.length; i++, count++) {
          outgoing_datagram back = {got.datagrams.items[i].data, 1, got.datagrams.items[i].remote};
          result_u64 result;
          outgoing_check_send(streams.streams.output, &result);
          if (!passed("check-send", result.failed, result.error)) continue;
          outgoing_send(streams.streams.output, &back, 1, &result);
          passed("send", result.failed, result.error);
        }
        free_datagrams(got);
      }
      begin_ok("echo");
      put_key("datagrams", count);
      flush_line();
      drop_udp_streams(streams);
    }
  }
  drop_udp_socket(socket);
}

static void send_sized(const char *state, handle outgoing, const flat_address *to, size_t size) {
  static uint8_t data[70000];
  state_prefix = state;
  send_datagram(outgoing, data, size, to);
}

/* The largest datagrams, the empty one, a port of 0, no address, and the other family's. */
static void op_udp_edges(int n, char **a) {
  (void)n;
  flat_address to = parse_address(a[0], a[1]), nowhere = to, other = loopback(!to.kind);
  nowhere.word[0] = 0;
  other.word[0] = to.word[0];
  handle socket;
  result_streams streams;
  if (!new_udp(to.kind, &socket)) return;
  if (bind_udp(socket, unspecified(to.kind))) {
    if (open_udp(socket, NULL, &streams)) {
      send_sized("size-0", streams.streams.output, &to, 0);
      send_sized("size-65507", streams.streams.output, &to, 65507);
      send_sized("size-65508", streams.streams.output, &to, 65508);
      send_sized("size-70000", streams.streams.output, &to, 70000);
      send_sized("no-address", streams.streams.output, NULL, 1);
      send_sized("port-0", streams.streams.output, &nowhere, 1);
      send_sized("other-family", streams.streams.output, &other, 1);
      drop_udp_streams(streams);
    }
    state_prefix = "port-0";
    if (open_udp(socket, &nowhere, &streams)) say_ok("stream"), drop_udp_streams(streams);
    state_prefix = "other-family";
    if (open_udp(socket, &other, &streams)) say_ok("stream"), drop_udp_streams(streams);
    flat_address any = unspecified(to.kind);
    any.word[0] = to.word[0];
    state_prefix = "unspecified";
    if (open_udp(socket, &any, &streams)) say_ok("stream"), drop_udp_streams(streams);
    state_prefix = "again";
    if (open_udp(socket, &to, &streams)) {
      say_ok("stream");
      say_udp_addresses(socket, 0, (uint32_t)to.word[0]);
      drop_udp_streams(streams);
    }
    if (open_udp(socket, NULL, &streams)) {
      say_ok("stream-none");
      say_udp_addresses(socket, 0, (uint32_t)to.word[0]);
      result_u64 sent;
      outgoing_send(streams.streams.output, NULL, 0, &sent);
      if (passed("send-nothing", sent.failed, sent.error)) say_ok("send-nothing");
      result_datagrams got;
      incoming_receive(streams.streams.input, 0, &got);
      if (passed("receive-nothing", got.failed, got.error)) say_ok("receive-nothing");
      drop_udp_streams(streams);
    }
  }
  state_prefix = NULL;
  drop_udp_socket(socket);
}

/* ---- subcommands: states ---- */

/* True when `names`, separated by spaces, has `name`. */
static bool lists(const char *names, const char *name) {
  size_t length = strlen(name);
  for (const char *at = names; (at = strstr(at, name)); at += length) {
    if ((at == names || at[-1] == ' ') && (at[length] == ' ' || !at[length])) return true;
  }
  return false;
}

/* Tries every call that `leave_out` does not name; those are the ones that would be right and change the state. */
static void try_tcp(const char *state, handle socket, flat_address to, const char *leave_out) {
  result_unit unit;
  state_prefix = state;
  if (!lists(leave_out, "subscribe")) {
    begin_ok("subscribe");
    put_key("ready", is_ready(tcp_subscribe(socket)));
    flush_line();
  }
  begin_ok("is-listening");
  put_key("value", (uint64_t)tcp_is_listening(socket));
  flush_line();
  if (!lists(leave_out, "addresses")) say_tcp_addresses(socket, 0, (uint32_t)to.word[0]);
  if (!lists(leave_out, "finish-bind")) tcp_finish_bind(socket, &unit), said("finish-bind", unit);
  if (!lists(leave_out, "finish-listen")) tcp_finish_listen(socket, &unit), said("finish-listen", unit);
  if (!lists(leave_out, "finish-connect")) {
    result_streams result;
    tcp_finish_connect(socket, &result);
    if (passed("finish-connect", result.failed, result.error)) say_ok("finish-connect");
  }
  if (!lists(leave_out, "accept")) {
    result_accepted result;
    tcp_accept(socket, &result);
    if (passed("accept", result.failed, result.error)) say_ok("accept");
  }
  static const char *const shutdowns[] = {"shutdown-receive", "shutdown-send", "shutdown-both"};
  for (int i = 0; i < 3; i++) {
    if (!lists(leave_out, "shutdown")) said(shutdowns[i], shut(socket, i));
  }
  if (!lists(leave_out, "start-bind")) {
    flat_address at = loopback(to.kind);
    tcp_start_bind(socket, network, SPREAD(at), &unit);
    said("start-bind", unit);
  }
  if (!lists(leave_out, "start-listen")) tcp_start_listen(socket, &unit), said("start-listen", unit);
  if (!lists(leave_out, "start-connect")) {
    tcp_start_connect(socket, network, SPREAD(to), &unit);
    said("start-connect", unit);
  }
  state_prefix = NULL;
}

static void op_states(int n, char **a) {
  (void)n;
  flat_address to = parse_address(a[0], a[1]), at = loopback(to.kind);
  handle socket;
  result_unit unit;

  if (!new_tcp(to.kind, &socket)) return;
  try_tcp("new", socket, to, "start-bind start-connect start-listen");
  tcp_start_bind(socket, network, SPREAD(at), &unit);
  if (said("start-bind", unit)) {
    try_tcp("bind-started", socket, to, "finish-bind");
    unit = finish_binding(socket);
    if (said("finish-bind", unit)) {
      try_tcp("bound", socket, to, "start-listen start-connect");
      tcp_start_listen(socket, &unit);
      if (said("start-listen", unit)) {
        try_tcp("listen-started", socket, to, "finish-listen");
        unit = finish_listening(socket);
        if (said("finish-listen", unit)) try_tcp("listening", socket, to, "");
      }
    }
  }
  drop_tcp_socket(socket);

  if (!new_tcp(to.kind, &socket)) return;
  state_prefix = "new";
  tcp_start_listen(socket, &unit);
  said("start-listen", unit);
  state_prefix = NULL;
  drop_tcp_socket(socket);

  if (!new_tcp(to.kind, &socket)) return;
  tcp_start_connect(socket, network, SPREAD(to), &unit);
  if (said("start-connect", unit)) {
    try_tcp("connect-started", socket, to, "finish-connect subscribe addresses");
    result_streams streams = finish_connecting(socket);
    if (passed("finish-connect", streams.failed, streams.error)) {
      connection c = {socket, streams.streams.input, streams.streams.output};
      say_ok("finish-connect");
      try_tcp("connected", socket, to, "shutdown");
      try_tcp("shut", socket, to, "");
      disconnect(c);
    }
  } else {
    drop_tcp_socket(socket);
  }

  /* Refused by the peer: nothing listens on a port that was bound and given back. */
  if (!new_tcp(to.kind, &socket)) return;
  if (bind_socket(socket, at)) {
    result_address local;
    tcp_local_address(socket, &local);
    flat_address gone = flatten(&local.value);
    drop_tcp_socket(socket);
    if (!local.failed && new_tcp(to.kind, &socket)) {
      tcp_start_connect(socket, network, SPREAD(gone), &unit);
      if (said("start-connect", unit)) {
        result_streams streams = finish_connecting(socket);
        if (passed("finish-connect", streams.failed, streams.error)) say_ok("finish-connect");
        try_tcp("refused", socket, to, "");
      }
      drop_tcp_socket(socket);
    }
  } else {
    drop_tcp_socket(socket);
  }
}

static void op_udp_states(int n, char **a) {
  (void)n;
  flat_address to = parse_address(a[0], a[1]), at = loopback(to.kind);
  handle socket;
  result_unit unit;
  result_streams first, second;
  if (!new_udp(to.kind, &socket)) return;
  state_prefix = "new";
  begin_ok("subscribe");
  put_key("ready", is_ready(udp_subscribe(socket)));
  flush_line();
  say_udp_addresses(socket, 0, 0);
  udp_finish_bind(socket, &unit);
  said("finish-bind", unit);
  if (open_udp(socket, NULL, &first)) say_ok("stream"), drop_udp_streams(first);
  udp_start_bind(socket, network, SPREAD(at), &unit);
  said("start-bind", unit);
  state_prefix = "bind-started";
  say_udp_addresses(socket, 0, 0);
  udp_start_bind(socket, network, SPREAD(at), &unit);
  said("start-bind", unit);
  if (open_udp(socket, NULL, &first)) say_ok("stream"), drop_udp_streams(first);
  udp_finish_bind(socket, &unit);
  said("finish-bind", unit);
  state_prefix = "bound";
  say_udp_addresses(socket, 0, 0);
  udp_start_bind(socket, network, SPREAD(at), &unit);
  said("start-bind", unit);
  udp_finish_bind(socket, &unit);
  said("finish-bind", unit);
  if (open_udp(socket, &to, &first)) {
    state_prefix = "connected";
    say_udp_addresses(socket, 0, (uint32_t)to.word[0]);
    begin_ok("receive-subscribe");
    put_key("ready", is_ready(incoming_subscribe(first.streams.input)));
    flush_line();
    begin_ok("send-subscribe");
    put_key("ready", is_ready(outgoing_subscribe(first.streams.output)));
    flush_line();
    result_u64 permit;
    outgoing_check_send(first.streams.output, &permit);
    if (passed("check-send", permit.failed, permit.error)) {
      begin_ok("check-send");
      put_key("value", permit.value);
      flush_line();
    }
    drop_udp_streams(first);
    if (open_udp(socket, NULL, &second)) {
      state_prefix = "disconnected";
      say_udp_addresses(socket, 0, (uint32_t)to.word[0]);
      drop_udp_streams(second);
    }
  }
  state_prefix = NULL;
  drop_udp_socket(socket);
}

static void op_two_families(int n, char **a) {
  (void)n, (void)a;
  for (int32_t family = IPV4; family <= IPV6; family++) {
    flat_address other = loopback(!family);
    other.word[0] = 9;
    result_unit unit;
    result_streams streams;
    handle socket;
    state_prefix = family == IPV4 ? "ipv4" : "ipv6";
    if (new_tcp(family, &socket)) {
      tcp_start_bind(socket, network, SPREAD(other), &unit);
      said("tcp-start-bind", unit);
      tcp_start_connect(socket, network, SPREAD(other), &unit);
      said("tcp-start-connect", unit);
      begin_ok("tcp-address-family");
      put_key("value", (uint64_t)tcp_address_family(socket));
      flush_line();
      drop_tcp_socket(socket);
    }
    if (new_udp(family, &socket)) {
      udp_start_bind(socket, network, SPREAD(other), &unit);
      said("udp-start-bind", unit);
      begin_ok("udp-address-family");
      put_key("value", (uint64_t)udp_address_family(socket));
      flush_line();
      if (bind_udp(socket, loopback(family))) {
        if (open_udp(socket, &other, &streams)) say_ok("stream"), drop_udp_streams(streams);
      }
      drop_udp_socket(socket);
    }
  }
  state_prefix = NULL;
}

/* ---- subcommands: options ---- */

typedef struct {
  const char *name;
  result_u64 (*get)(handle);
  result_unit (*set)(handle, uint64_t);
  uint64_t usual;
  uint64_t most; /* the largest that the type holds */
} option;

#define OPTION(kind, name, result, type)                   \
  static result_u64 get_##kind##_##name(handle socket) {   \
    result got;                                            \
    kind##_##name(socket, &got);                           \
    result_u64 out = {.failed = got.failed};               \
    if (got.failed) out.error = got.error;                 \
    else out.value = got.value;                            \
    return out;                                            \
  }                                                        \
  static result_unit set_##kind##_##name(handle socket, uint64_t value) { \
    result_unit out;                                       \
    kind##_set_##name(socket, (type)value, &out);          \
    return out;                                            \
  }

OPTION(tcp, keep_alive_enabled, result_u8, int32_t)
OPTION(tcp, keep_alive_idle_time, result_u64, uint64_t)
OPTION(tcp, keep_alive_interval, result_u64, uint64_t)
OPTION(tcp, keep_alive_count, result_u32, uint32_t)
OPTION(tcp, hop_limit, result_u8, int32_t)
OPTION(tcp, receive_buffer_size, result_u64, uint64_t)
OPTION(tcp, send_buffer_size, result_u64, uint64_t)
OPTION(udp, unicast_hop_limit, result_u8, int32_t)
OPTION(udp, receive_buffer_size, result_u64, uint64_t)
OPTION(udp, send_buffer_size, result_u64, uint64_t)

static const option tcp_options[] = {
    {"keep-alive-enabled", get_tcp_keep_alive_enabled, set_tcp_keep_alive_enabled, 1, 1},
    {"keep-alive-idle-time", get_tcp_keep_alive_idle_time, set_tcp_keep_alive_idle_time, 1500000000, UINT64_MAX},
    {"keep-alive-interval", get_tcp_keep_alive_interval, set_tcp_keep_alive_interval, 3000000000, UINT64_MAX},
    {"keep-alive-count", get_tcp_keep_alive_count, set_tcp_keep_alive_count, 5, UINT32_MAX},
    {"hop-limit", get_tcp_hop_limit, set_tcp_hop_limit, 42, UINT8_MAX},
    {"receive-buffer-size", get_tcp_receive_buffer_size, set_tcp_receive_buffer_size, 32768, UINT64_MAX},
    {"send-buffer-size", get_tcp_send_buffer_size, set_tcp_send_buffer_size, 32768, UINT64_MAX},
};

static const option udp_options[] = {
    {"unicast-hop-limit", get_udp_unicast_hop_limit, set_udp_unicast_hop_limit, 42, UINT8_MAX},
    {"receive-buffer-size", get_udp_receive_buffer_size, set_udp_receive_buffer_size, 32768, UINT64_MAX},
    {"send-buffer-size", get_udp_send_buffer_size, set_udp_send_buffer_size, 32768, UINT64_MAX},
};

static void say_option(const option *o, handle socket) {
  result_u64 got = o->get(socket);
  if (!passed(o->name, got.failed, got.error)) return;
  begin_ok(o->name);
  put_key("value", got.value);
  flush_line();
}

static void set_option(const option *o, handle socket, uint64_t value) {
  result_unit result = o->set(socket, value);
  if (state_prefix) put(state_prefix), put(" ");
  put("set-");
  put(o->name);
  put_key("to", value);
  put(result.failed ? " error=" : " ok");
  if (result.failed) put(error_code_name(result.error));
  flush_line();
}

static void try_options(const char *state, const option *options, size_t count, handle socket) {
  state_prefix = state;
  for (size_t i = 0; i < count; i++) {
    const option *o = &options[i];
    say_option(o, socket);
    set_option(o, socket, 0);
    set_option(o, socket, 1);
    say_option(o, socket);
    set_option(o, socket, o->most);
    say_option(o, socket);
    set_option(o, socket, o->usual);
    say_option(o, socket);
  }
  state_prefix = NULL;
}

#define TCP_OPTIONS tcp_options, sizeof tcp_options / sizeof tcp_options[0]
#define UDP_OPTIONS udp_options, sizeof udp_options / sizeof udp_options[0]

static void try_backlog(const char *state, handle socket) {
  static const uint64_t sizes[] = {0, 1, UINT64_MAX, 100};
  state_prefix = state;
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    result_unit result;
    tcp_set_listen_backlog_size(socket, sizes[i], &result);
    begin("set-listen-backlog-size");
    put_key("to", sizes[i]);
    put(result.failed ? " error=" : " ok");
    if (result.failed) put(error_code_name(result.error));
    flush_line();
  }
  state_prefix = NULL;
}

static void op_options(int n, char **a) {
  (void)n;
  flat_address to = parse_address(a[0], a[1]);
  handle socket;
  connection c;
  result_streams streams;
  if (!new_tcp(to.kind, &socket)) return;
  try_options("tcp-new", TCP_OPTIONS, socket);
  try_backlog("tcp-new", socket);
  if (connect_socket(socket, to, &c)) {
    try_options("tcp-connected", TCP_OPTIONS, socket);
    try_backlog("tcp-connected", socket);
    disconnect(c);
  } else {
    drop_tcp_socket(socket);
  }
  if (new_listener(loopback(to.kind), &socket)) {
    try_options("tcp-listening", TCP_OPTIONS, socket);
    try_backlog("tcp-listening", socket);
    result_address local;
    result_accepted accepted;
    tcp_local_address(socket, &local);
    if (!local.failed && connect_to(flatten(&local.value), &c)) {
      wait_for(tcp_subscribe(socket));
      tcp_accept(socket, &accepted);
      if (passed("accept", accepted.failed, accepted.error)) {
        state_prefix = "tcp-accepted";
        for (size_t i = 0; i < sizeof tcp_options / sizeof tcp_options[0]; i++) {
          say_option(&tcp_options[i], accepted.peer.socket);
        }
        state_prefix = NULL;
        disconnect((connection){accepted.peer.socket, accepted.peer.input, accepted.peer.output});
      }
      disconnect(c);
    }
    drop_tcp_socket(socket);
  }
  if (!new_udp(to.kind, &socket)) return;
  try_options("udp-new", UDP_OPTIONS, socket);
  if (bind_udp(socket, unspecified(to.kind)) && open_udp(socket, &to, &streams)) {
    try_options("udp-connected", UDP_OPTIONS, socket);
    drop_udp_streams(streams);
  }
  drop_udp_socket(socket);
}

/* ---- subcommands: streams ---- */

static void op_half_close(int n, char **a) {
  (void)n;
  connection c;
  if (!connect_to(parse_address(a[0], a[1]), &c)) return;
  state_prefix = "send";
  if (write_all(c, "hello", 5) && said("shutdown", shut(c.socket, SHUTDOWN_SEND))) {
    stream_u64 permit;
    stream_check_write(c.output, &permit);
    stream_count_said("check-write", permit);
    read_and_say(c, TO_END);
    said("shutdown-again", shut(c.socket, SHUTDOWN_SEND));
  }
  disconnect(c);
  if (!connect_to(parse_address(a[0], a[1]), &c)) return;
  state_prefix = "receive";
  if (said("shutdown", shut(c.socket, SHUTDOWN_RECEIVE))) {
    read_and_say(c, TO_END);
    if (write_all(c, "hello", 5)) say_ok("write");
    said("shutdown-again", shut(c.socket, SHUTDOWN_RECEIVE));
  }
  disconnect(c);
  state_prefix = NULL;
}

static void op_reset(int n, char **a) {
  (void)n;
  connection c;
  if (!connect_to(parse_address(a[0], a[1]), &c)) return;
  if (write_all(c, "reset\n", 6)) {
    read_and_say(c, TO_END);
    stream_bytes again;
    stream_read(c.input, 1, &again);
    bytes_said("read", again);
    for (int i = 0; i < 2; i++) {
      stream_u64 permit;
      stream_check_write(c.output, &permit);
      if (!stream_count_said("check-write", permit) || !permit.value) break;
      stream_unit written;
      stream_write(c.output, "x", 1, &written);
      if (!stream_said("write", written)) break;
      if (!wait_for(output_subscribe(c.output))) break;
    }
    result_address remote;
    tcp_remote_address(c.socket, &remote);
    begin("remote-address");
    put(remote.failed ? " error=" : " ok");
    if (remote.failed) put(error_code_name(remote.error));
    flush_line();
    said("shutdown", shut(c.socket, SHUTDOWN_BOTH));
  }
  disconnect(c);
}

static void op_reuse(int n, char **a) {
  (void)n;
  connection c;
  if (!connect_to(parse_address(a[0], a[1]), &c)) return;
  if (said("shutdown", shut(c.socket, SHUTDOWN_BOTH))) {
    stream_bytes got;
    stream_read(c.input, 1, &got);
    bytes_said("read", got);
    stream_blocking_read(c.input, 1, &got);
    bytes_said("blocking-read", got);
    stream_u64 count;
    stream_skip(c.input, 1, &count);
    stream_count_said("skip", count);
    stream_check_write(c.output, &count);
    stream_count_said("check-write", count);
    stream_unit unit;
    stream_flush(c.output, &unit);
    stream_said("flush", unit);
    stream_blocking_flush(c.output, &unit);
    stream_said("blocking-flush", unit);
    stream_blocking_write_and_flush(c.output, "x", 1, &unit);
    stream_said("blocking-write-and-flush", unit);
    stream_splice(c.output, c.input, 1, &count);
    stream_count_said("splice", count);
    begin_ok("subscribe");
    put_key("input", is_ready(input_subscribe(c.input)));
    put_key("output", is_ready(output_subscribe(c.output)));
    put_key("socket", is_ready(tcp_subscribe(c.socket)));
    flush_line();
  }
  disconnect(c);
}

/* Every call of the streams, on an echo: its right use. */
static void op_streams(int n, char **a) {
  (void)n;
  connection c;
  stream_bytes got;
  stream_u64 count;
  stream_unit unit;
  if (!connect_to(parse_address(a[0], a[1]), &c)) return;
  stream_read(c.input, 100, &got);
  bytes_said("read", got);
  stream_read(c.input, 0, &got);
  bytes_said("read", got);
  stream_skip(c.input, 100, &count);
  stream_count_said("skip", count);
  begin_ok("subscribe");
  put_key("input", is_ready(input_subscribe(c.input)));
  put_key("output", is_ready(output_subscribe(c.output)));
  flush_line();
  stream_check_write(c.output, &count);
  stream_count_said("check-write", count);
  stream_write(c.output, "", 0, &unit);
  stream_said("write", unit);
  stream_flush(c.output, &unit);
  stream_said("flush", unit);
  stream_blocking_flush(c.output, &unit);
  stream_said("blocking-flush", unit);
  stream_blocking_write_and_flush(c.output, "blocking", 8, &unit);
  stream_said("blocking-write-and-flush", unit);
  stream_blocking_skip(c.input, 5, &count);
  stream_count_said("blocking-skip", count);
  stream_blocking_read(c.input, 100, &got);
  bytes_said("blocking-read", got);
  stream_blocking_write_zeroes_and_flush(c.output, 3, &unit);
  stream_said("blocking-write-zeroes-and-flush", unit);
  read_and_say(c, 3);
  stream_check_write(c.output, &count);
  stream_count_said("check-write", count);
  stream_write_zeroes(c.output, 2, &unit);
  stream_said("write-zeroes", unit);
  read_and_say(c, 2);
  stream_splice(c.output, c.input, 100, &count);
  stream_count_said("splice", count);
  if (write_all(c, "spliced", 7) && wait_for(input_subscribe(c.input))) {
    stream_blocking_splice(c.output, c.input, 100, &count);
    stream_count_said("blocking-splice", count);
    /* A pollable may be ready where nothing is there any more; a program looks, and waits again. */
    do {
      if (!wait_for(input_subscribe(c.input))) break;
      stream_splice(c.output, c.input, 3, &count);
    } while (!count.failed && !count.value);
    stream_count_said("splice", count);
    read_and_say(c, 7);
  }
  said("shutdown", shut(c.socket, SHUTDOWN_SEND));
  read_and_say(c, TO_END);
  disconnect(c);
}

/* Each makes one wrong call, on a connection to `to`. What follows it is reached only where it did not trap. */

static uint8_t zeroes[1 << 21];

static void misuse_write_unchecked(connection c, flat_address to) {
  (void)to;
  stream_unit unit;
  stream_write(c.output, "x", 1, &unit);
  stream_said("write", unit);
}

static void misuse_write_beyond_permit(connection c, flat_address to) {
  (void)to;
  stream_u64 count;
  stream_unit unit;
  stream_check_write(c.output, &count);
  if (!stream_passed("check-write", count.failed, count.error)) return;
  if (count.value >= sizeof zeroes) {
    say_error("check-write", "more-than-memory");
    return;
  }
  stream_write(c.output, zeroes, (size_t)count.value + 1, &unit);
  stream_said("write", unit);
}

static void misuse_write_while_full(connection c, flat_address to) {
  (void)to;
  stream_u64 count;
  stream_unit unit;
  /* To a peer that reads nothing. */
  do {
    stream_check_write(c.output, &count);
    if (!stream_passed("check-write", count.failed, count.error)) return;
    if (!count.value) break;
    stream_write(c.output, zeroes, (size_t)(count.value < sizeof zeroes ? count.value : sizeof zeroes), &unit);
  } while (stream_passed("write", unit.failed, unit.error));
  begin_ok("full");
  handle timer = subscribe_duration(100000000);
  pollable_block(timer);
  drop_pollable(timer);
  put_key("ready", is_ready(output_subscribe(c.output)));
  flush_line();
  stream_write(c.output, "x", 1, &unit);
  stream_said("write", unit);
}

static void misuse_blocking_read_nothing(connection c, flat_address to) {
  (void)to;
  if (write_all(c, "x", 1)) {
    stream_bytes got;
    stream_blocking_read(c.input, 0, &got);
    bytes_said("blocking-read", got);
  }
}

static void misuse_write_zeroes_beyond_permit(connection c, flat_address to) {
  (void)to;
  stream_u64 count;
  stream_unit unit;
  stream_check_write(c.output, &count);
  stream_write_zeroes(c.output, count.value + 1, &unit);
  stream_said("write-zeroes", unit);
}

static void misuse_blocking_write_too_much(connection c, flat_address to) {
  (void)to;
  stream_unit unit;
  stream_blocking_write_and_flush(c.output, zeroes, 4097, &unit);
  stream_said("blocking-write-and-flush", unit);
}

static void misuse_blocking_zeroes_too_much(connection c, flat_address to) {
  (void)to;
  stream_unit unit;
  stream_blocking_write_zeroes_and_flush(c.output, 4097, &unit);
  stream_said("blocking-write-zeroes-and-flush", unit);
}

static void misuse_read_huge(connection c, flat_address to) {
  (void)to;
  if (write_all(c, "x", 1) && wait_for(input_subscribe(c.input))) {
    stream_bytes got;
    stream_read(c.input, UINT64_MAX, &got);
    bytes_said("read", got);
  }
}

static void misuse_poll_empty(connection c, flat_address to) {
  (void)c, (void)to;
  indices ready;
  poll_list(NULL, 0, &ready);
  say_ok("poll");
}

static void misuse_poll_twice(connection c, flat_address to) {
  (void)to;
  handle pollable = output_subscribe(c.output), both[2] = {pollable, pollable};
  indices ready;
  poll_list(both, 2, &ready);
  begin_ok("poll");
  put_key("ready", ready.length);
  flush_line();
}

static void misuse_socket_before_streams(connection c, flat_address to) {
  (void)to;
  stream_u64 count;
  drop_tcp_socket(c.socket);
  say_ok("drop");
  stream_check_write(c.output, &count);
  stream_count_said("check-write", count);
  read_and_say(c, 1);
}

static void misuse_input_before_pollable(connection c, flat_address to) {
  (void)to;
  handle pollable = input_subscribe(c.input);
  drop_input(c.input);
  say_ok("drop");
  begin_ok("ready");
  put_key("value", (uint64_t)pollable_ready(pollable));
  flush_line();
}

static void misuse_output_before_pollable(connection c, flat_address to) {
  (void)to;
  handle pollable = output_subscribe(c.output);
  drop_output(c.output);
  say_ok("drop");
  begin_ok("ready");
  put_key("value", (uint64_t)pollable_ready(pollable));
  flush_line();
}

static void misuse_socket_before_pollable(connection c, flat_address to) {
  (void)to;
  handle pollable = tcp_subscribe(c.socket);
  drop_input(c.input);
  drop_output(c.output);
  drop_tcp_socket(c.socket);
  say_ok("drop");
  begin_ok("ready");
  put_key("value", (uint64_t)pollable_ready(pollable));
  flush_line();
}

static void misuse_output_then_read(connection c, flat_address to) {
  (void)to;
  if (write_all(c, "hello", 5)) {
    drop_output(c.output);
    say_ok("drop");
    read_and_say(c, TO_END);
  }
}

static void misuse_input_then_write(connection c, flat_address to) {
  (void)to;
  drop_input(c.input);
  say_ok("drop");
  if (write_all(c, "hello", 5)) say_ok("write");
}

static void misuse_network_before_socket(connection c, flat_address to) {
  (void)to;
  drop_network(network);
  say_ok("drop");
  if (write_all(c, "hello", 5)) read_and_say(c, 5);
  network = instance_network();
}

static void misuse_socket_after_drop(connection c, flat_address to) {
  (void)to;
  disconnect(c);
  tcp_is_listening(c.socket);
  say_ok("is-listening");
}

static void misuse_stream_as_socket(connection c, flat_address to) {
  (void)to;
  tcp_is_listening(c.output);
  say_ok("is-listening");
}

static void misuse_finish_connect_again(connection c, flat_address to) {
  (void)to;
  result_streams again;
  tcp_finish_connect(c.socket, &again);
  if (passed("finish-connect", again.failed, again.error)) say_ok("finish-connect");
}

static void misuse_udp_socket_before_streams(connection c, flat_address to) {
  (void)c;
  handle socket;
  result_streams streams;
  if (new_udp(to.kind, &socket) && bind_udp(socket, unspecified(to.kind)) && open_udp(socket, NULL, &streams)) {
    drop_udp_socket(socket);
    say_ok("drop");
    result_u64 permit;
    outgoing_check_send(streams.streams.output, &permit);
    if (passed("check-send", permit.failed, permit.error)) say_ok("check-send");
  }
}

static void misuse_udp_stream_again(connection c, flat_address to) {
  (void)c;
  handle socket;
  result_streams first, second;
  if (new_udp(to.kind, &socket) && bind_udp(socket, unspecified(to.kind)) && open_udp(socket, NULL, &first)) {
    if (open_udp(socket, NULL, &second)) say_ok("stream");
  }
}

static void send_too_many(flat_address to, bool checked) {
  handle socket;
  result_streams streams;
  if (new_udp(to.kind, &socket) && bind_udp(socket, unspecified(to.kind)) && open_udp(socket, &to, &streams)) {
    static outgoing_datagram datagrams[1024];
    result_u64 permit = {0}, sent;
    if (checked) {
      outgoing_check_send(streams.streams.output, &permit);
      if (!passed("check-send", permit.failed, permit.error)) return;
      permit.value = permit.value < 1023 ? permit.value : 1023;
    }
    for (size_t i = 0; i < 1024; i++) datagrams[i].data = (bytes){zeroes, 1};
    outgoing_send(streams.streams.output, datagrams, (size_t)permit.value + 1, &sent);
    if (passed("send", sent.failed, sent.error)) {
      begin_ok("send");
      put_key("datagrams", sent.value);
      flush_line();
    }
  }
}

static void misuse_udp_send_unchecked(connection c, flat_address to) {
  (void)c;
  send_too_many(to, false);
}

static void misuse_udp_send_beyond_permit(connection c, flat_address to) {
  (void)c;
  send_too_many(to, true);
}

static void misuse_accepted_after_listener(connection c, flat_address to) {
  (void)c, (void)to;
  handle listener;
  if (new_listener(loopback(IPV4), &listener)) {
    result_address local;
    result_accepted accepted;
    connection peer;
    tcp_local_address(listener, &local);
    if (!local.failed && connect_to(flatten(&local.value), &peer) && wait_for(tcp_subscribe(listener))) {
      tcp_accept(listener, &accepted);
      if (passed("accept", accepted.failed, accepted.error)) {
        drop_tcp_socket(listener);
        say_ok("drop");
        connection other = {accepted.peer.socket, accepted.peer.input, accepted.peer.output};
        if (write_all(peer, "hello", 5)) read_and_say(other, 5);
      }
    }
  }
}

static const struct {
  const char *name;
  void (*act)(connection, flat_address);
} misuses[] = {
    {"write-unchecked", misuse_write_unchecked},
    {"write-beyond-permit", misuse_write_beyond_permit},
    {"write-while-full", misuse_write_while_full},
    {"blocking-read-nothing", misuse_blocking_read_nothing},
    {"write-zeroes-beyond-permit", misuse_write_zeroes_beyond_permit},
    {"blocking-write-too-much", misuse_blocking_write_too_much},
    {"blocking-zeroes-too-much", misuse_blocking_zeroes_too_much},
    {"read-huge", misuse_read_huge},
    {"poll-empty", misuse_poll_empty},
    {"poll-twice", misuse_poll_twice},
    {"socket-before-streams", misuse_socket_before_streams},
    {"input-before-pollable", misuse_input_before_pollable},
    {"output-before-pollable", misuse_output_before_pollable},
    {"socket-before-pollable", misuse_socket_before_pollable},
    {"output-then-read", misuse_output_then_read},
    {"input-then-write", misuse_input_then_write},
    {"network-before-socket", misuse_network_before_socket},
    {"socket-after-drop", misuse_socket_after_drop},
    {"stream-as-socket", misuse_stream_as_socket},
    {"finish-connect-again", misuse_finish_connect_again},
    {"udp-socket-before-streams", misuse_udp_socket_before_streams},
    {"udp-stream-again", misuse_udp_stream_again},
    {"udp-send-unchecked", misuse_udp_send_unchecked},
    {"udp-send-beyond-permit", misuse_udp_send_beyond_permit},
    {"accepted-after-listener", misuse_accepted_after_listener},
};

/* Nothing is dropped behind a case: what it left behind may be anything. */
static void op_misuse(int n, char **a) {
  (void)n;
  flat_address to = parse_address(a[1], a[2]);
  for (size_t i = 0; i < sizeof misuses / sizeof misuses[0]; i++) {
    connection c;
    if (strcmp(misuses[i].name, a[0])) continue;
    if (connect_to(to, &c)) misuses[i].act(c, to);
    return;
  }
  say_error("misuse", "no-such-case");
}

/* ---- subcommands: poll ---- */

static void say_ready(const char *const *names, const handle *pollables, size_t count) {
  indices ready;
  poll_list(pollables, count, &ready);
  begin_ok("poll");
  put(" ready=");
  for (size_t i = 0; i < ready.length; i++) {
    if (i) put(",");
    put(ready.items[i] < count ? names[ready.items[i]] : "?");
  }
  flush_line();
  free(ready.items);
}

/*
 * One poll over native things and sockets. Standard input must stay silent until it has read the line that asks for it.
 */
static void op_poll_mixed(int n, char **a) {
  (void)n;
  static const char *const names[] = {"stream", "listener", "stdin", "timer"};
  flat_address to = parse_address(a[0], a[1]);
  connection c, own;
  handle listener;
  if (!connect_to(to, &c)) return;
  if (new_listener(loopback(to.kind), &listener)) {
    handle stdin_stream = get_stdin();
    handle pollables[4] = {input_subscribe(c.input), tcp_subscribe(listener), input_subscribe(stdin_stream),
                           subscribe_duration(50000000)};
    say_ready(names, pollables, 4);
    drop_pollable(pollables[3]);
    pollables[3] = subscribe_duration(PATIENCE);
    if (write_all(c, "hello", 5)) say_ready(names, pollables, 4);
    read_and_say(c, 5);
    /* What was read last filled its buffer: only a read that finds nothing tells a host that there is no more. */
    stream_bytes none;
    stream_read(c.input, 1, &none);
    bytes_said("read", none);
    result_address local;
    tcp_local_address(listener, &local);
    if (!local.failed && connect_to(flatten(&local.value), &own)) {
      say_ready(names, pollables, 4);
      result_accepted accepted;
      tcp_accept(listener, &accepted);
      if (passed("accept", accepted.failed, accepted.error)) {
        say_ok("accept");
        disconnect((connection){accepted.peer.socket, accepted.peer.input, accepted.peer.output});
      }
      disconnect(own);
    }
    say_ok("waiting");
    say_ready(names, pollables, 4);
    stream_bytes got;
    stream_read(stdin_stream, 100, &got);
    bytes_said("stdin", got);
    for (int i = 0; i < 4; i++) drop_pollable(pollables[i]);
    drop_input(stdin_stream);
    drop_tcp_socket(listener);
  }
  disconnect(c);
}

/* As wasi-libc waits: a socket's pollable is made when the socket is, and used in all its states. */
static void op_early_pollable(int n, char **a) {
  (void)n;
  flat_address to = parse_address(a[0], a[1]), at = loopback(to.kind);
  handle socket, listener;
  result_unit unit;
  result_streams streams;
  if (!new_tcp(to.kind, &socket)) return;
  handle pollable = tcp_subscribe(socket);
  begin_ok("new");
  put_key("ready", (uint64_t)pollable_ready(pollable));
  flush_line();
  tcp_start_connect(socket, network, SPREAD(to), &unit);
  if (said("start-connect", unit)) {
    begin_ok("block");
    put_key("ready", block_at_most(pollable));
    flush_line();
    tcp_finish_connect(socket, &streams);
    if (passed("finish-connect", streams.failed, streams.error)) {
      say_ok("finish-connect");
      connection c = {socket, streams.streams.input, streams.streams.output};
      handle readable = input_subscribe(c.input);
      for (int round = 0; round < 2; round++) {
        stream_bytes got;
        stream_read(c.input, 100, &got);
        bytes_said("read", got);
        begin_ok("stream");
        put_key("ready", (uint64_t)pollable_ready(readable));
        flush_line();
        if (!write_all(c, "hello", 5)) break;
        begin_ok("block");
        put_key("ready", block_at_most(readable));
        flush_line();
        read_and_say(c, 5);
      }
      drop_pollable(readable);
      drop_input(c.input);
      drop_output(c.output);
    }
  }
  drop_pollable(pollable);
  drop_tcp_socket(socket);

  if (!new_tcp(to.kind, &listener)) return;
  pollable = tcp_subscribe(listener);
  if (bind_socket(listener, at) && listen_socket(listener)) {
    begin_ok("listening");
    put_key("ready", (uint64_t)pollable_ready(pollable));
    flush_line();
    result_address local;
    result_accepted accepted;
    connection c;
    tcp_local_address(listener, &local);
    if (!local.failed && connect_to(flatten(&local.value), &c)) {
      begin_ok("block");
      put_key("ready", block_at_most(pollable));
      flush_line();
      tcp_accept(listener, &accepted);
      if (passed("accept", accepted.failed, accepted.error)) {
        say_ok("accept");
        disconnect((connection){accepted.peer.socket, accepted.peer.input, accepted.peer.output});
      }
      disconnect(c);
      tcp_accept(listener, &accepted);
      if (passed("accept", accepted.failed, accepted.error)) say_ok("accept");
      begin_ok("accepted");
      put_key("ready", (uint64_t)pollable_ready(pollable));
      flush_line();
    }
  }
  drop_pollable(pollable);
  drop_tcp_socket(listener);
}

/* ---- subcommands: size ---- */

static uint8_t pattern(uint64_t at) { return (uint8_t)(at * 31 + (at >> 8)); }

static void op_big_write(int n, char **a) {
  (void)n;
  static uint8_t data[CHUNK];
  uint64_t size = number(a[2]), chunk = number(a[3]), done = 0;
  connection c;
  if (!chunk || chunk > CHUNK || !connect_to(parse_address(a[0], a[1]), &c)) return;
  while (done < size) {
    size_t count = (size_t)(size - done < chunk ? size - done : chunk);
    for (size_t i = 0; i < count; i++) data[i] = pattern(done + i);
    if (!write_all(c, data, count)) break;
    done += count;
  }
  begin_ok("big-write");
  put_key("bytes", done);
  flush_line();
  said("shutdown", shut(c.socket, SHUTDOWN_SEND));
  read_and_say(c, TO_END);
  disconnect(c);
}

static void op_big_read(int n, char **a) {
  (void)n;
  uint64_t size = number(a[2]), chunk = number(a[3]), done = 0, wrong = 0;
  connection c;
  if (!chunk || !connect_to(parse_address(a[0], a[1]), &c)) return;
  put_number(size);
  put("\n");
  char request[32];
  size_t length = line_length;
  memcpy(request, line, length);
  line_length = 0;
  if (write_all(c, request, length)) {
    stream_bytes got;
    for (;;) {
      got = read_some(c, chunk);
      if (got.failed || !got.value.length) break;
      for (size_t i = 0; i < got.value.length; i++) wrong += got.value.data[i] != pattern(done + i);
      done += got.value.length;
      free(got.value.data);
    }
    begin_ok("big-read");
    put_key("bytes", done);
    put_key("wrong", wrong);
    flush_line();
    if (!got.failed) say_error("read", "patience");
    else if (got.error.kind == STREAM_FAILED) say_stream_error("read", got.error);
  }
  disconnect(c);
}

/* ---- the table ---- */

static const struct {
  const char *name;
  int least, most;
  void (*act)(int, char **);
} operations[] = {
    {"connect", 2, 3, op_connect},
    {"connect-edges", 1, 1, op_connect_edges},
    {"bind", 2, 2, op_bind},
    {"bind-connect", 4, 4, op_bind_connect},
    {"listen", 3, 3, op_listen},
    {"many", 3, 3, op_many},
    {"many-sockets", 1, 1, op_many_sockets},
    {"lookup", 1, 1, op_lookup},
    {"fetch", 3, 3, op_fetch},
    {"udp-ask", 3, 3, op_udp_ask},
    {"udp-sendto", 3, 3, op_udp_sendto},
    {"udp-unbound", 3, 3, op_udp_unbound},
    {"udp-elsewhere", 5, 5, op_udp_elsewhere},
    {"udp-bind", 2, 3, op_udp_bind},
    {"udp-edges", 2, 2, op_udp_edges},
    {"udp-states", 2, 2, op_udp_states},
    {"states", 2, 2, op_states},
    {"two-families", 0, 0, op_two_families},
    {"options", 2, 2, op_options},
    {"half-close", 2, 2, op_half_close},
    {"reset", 2, 2, op_reset},
    {"reuse", 2, 2, op_reuse},
    {"streams", 2, 2, op_streams},
    {"misuse", 3, 3, op_misuse},
    {"poll-mixed", 2, 2, op_poll_mixed},
    {"early-pollable", 2, 2, op_early_pollable},
    {"big-write", 4, 4, op_big_write},
    {"big-read", 4, 4, op_big_read},
};

static bool run_one(int count, char **words) {
  for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
    if (strcmp(operations[i].name, words[0])) continue;
    if (count - 1 < operations[i].least || count - 1 > operations[i].most) break;
    operations[i].act(count - 1, words + 1);
    return true;
  }
  put("usage:");
  put_quoted("subcommand", words[0], strlen(words[0]));
  put_key("arguments", (uint64_t)(count - 1));
  flush_line();
  return false;
}

int main(int argc, char **argv) {
  network = instance_network();
  for (int from = 1; from < argc;) {
    int to = from;
    while (to < argc && strcmp(argv[to], "--")) to++;
    if (to > from && !run_one(to - from, argv + from)) return 2;
    from = to + 1;
  }
  drop_network(network);
  return 0;
}
