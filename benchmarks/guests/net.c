/*
 * net: what sockets cost a guest. Each run does one thing N times or over N bytes and prints how long it took, measured
 * by the guest itself, so that neither start-up nor compiling counts.
 *
 *     net connects ADDR PORT N             connects and closes N times, one after the other
 *     net upload ADDR PORT BYTES CHUNK KIND  sends BYTES in pieces of CHUNK; ends when the peer has read them all
 *     net download ADDR PORT BYTES CHUNK   asks for BYTES with a line "BYTES\n" and reads them, CHUNK at most at a time
 *     net pingpong ADDR PORT N SIZE        sends SIZE bytes and reads them back, N times on one connection
 *     net http ADDR PORT N                 GETs / by HTTP/1.0, N times, a connection each
 *     net poll ADDR PORT N IDLE            asks N times which of IDLE + 1 connections can be read: one always can
 *     net accept ADDR PORT N               listens, and echoes what each of N connections sends to its end; the first
 *                                          connection before them does not count
 *     net lookup NAME N                    looks a name up N times, one after the other
 *
 * prints `count=N bytes=N nanoseconds=N`. ADDR is dotted IPv4; KIND is `random` or `ascii`. It reads and writes as
 * wasi-libc does: it tries, and waits on a pollable kept with the connection when there was nothing to do.
 */

#include "../../tests/guests/sockets.h"

#include <stdio.h>
#include <string.h>

DEFINE_CABI_REALLOC

#define MAX_CHUNK (1 << 20)
#define MAX_IDLE 1000

static uint8_t buffer[MAX_CHUNK];
static handle network;
static flat_address remote;

typedef struct {
  handle socket, input, output, readable, writable;
} connection;

static _Noreturn void fail(const char *what, const char *why) {
  printf("%s error=%s\n", what, why);
  fflush(stdout);
  exit(1);
}

static void check(const char *what, uint8_t failed, uint8_t error) {
  if (failed) fail(what, error_code_name(error));
}

static handle new_socket(void) {
  result_handle created;
  create_tcp_socket(IPV4, &created);
  check("create-tcp-socket", created.failed, created.error);
  return created.value;
}

static connection subscribed(handle socket, handle input, handle output) {
  return (connection){socket, input, output, input_subscribe(input), output_subscribe(output)};
}

static connection connect_remote(void) {
  handle socket = new_socket();
  result_unit started;
  tcp_start_connect(socket, network, SPREAD(remote), &started);
  check("start-connect", started.failed, started.error);
  handle pollable = tcp_subscribe(socket);
  result_streams finished;
  for (;;) {
    tcp_finish_connect(socket, &finished);
    if (!finished.failed || finished.error != ERROR_WOULD_BLOCK) break;
    pollable_block(pollable);
  }
  drop_pollable(pollable);
  check("finish-connect", finished.failed, finished.error);
  return subscribed(socket, finished.streams.input, finished.streams.output);
}

static void disconnect(connection *c) {
  drop_pollable(c->readable);
  drop_pollable(c->writable);
  drop_input(c->input);
  drop_output(c->output);
  drop_tcp_socket(c->socket);
}

static void send_all(connection *c, const uint8_t *data, size_t length) {
  while (length) {
    stream_u64 permit;
    stream_check_write(c->output, &permit);
    if (permit.failed) fail("check-write", "stream");
    if (!permit.value) {
      pollable_block(c->writable);
      continue;
    }
    size_t count = permit.value < length ? (size_t)permit.value : length;
    stream_unit written;
    stream_write(c->output, data, count, &written);
    if (written.failed) fail("write", "stream");
    data += count;
    length -= count;
  }
}

/* Reads once, waiting for something; 0 is the end. */
static size_t receive(connection *c, size_t most) {
  for (;;) {
    stream_bytes got;
    stream_read(c->input, most, &got);
    if (got.failed) {
      if (got.error.kind == STREAM_CLOSED) return 0;
      fail("read", "stream");
    }
    if (!got.value.length) {
      pollable_block(c->readable);
      continue;
    }
    memcpy(buffer, got.value.data, got.value.length);
    free(got.value.data);
    return got.value.length;
  }
}

static void finish_sending(connection *c) {
  result_unit result;
  tcp_shutdown(c->socket, SHUTDOWN_SEND, &result);
  check("shutdown", result.failed, result.error);
}

static void fill(const char *kind) {
  uint64_t state = 0x9e3779b97f4a7c15u;
  for (size_t i = 0; i < sizeof buffer; i++) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    buffer[i] = strcmp(kind, "random") ? (uint8_t)(' ' + (state >> 32) % 95) : (uint8_t)(state >> 32);
  }
}

static void report(uint64_t count, uint64_t size, uint64_t from) {
  printf("count=%llu bytes=%llu nanoseconds=%llu\n", (unsigned long long)count, (unsigned long long)size,
         (unsigned long long)(monotonic_now() - from));
}

static void connects(uint64_t count) {
  uint64_t from = monotonic_now();
  for (uint64_t i = 0; i < count; i++) {
    connection c = connect_remote();
    disconnect(&c);
  }
  report(count, 0, from);
}

static void upload(uint64_t size, size_t chunk, const char *kind) {
  fill(kind);
  connection c = connect_remote();
  uint64_t from = monotonic_now();
  for (uint64_t done = 0; done < size; done += chunk) {
    send_all(&c, buffer, size - done < chunk ? (size_t)(size - done) : chunk);
  }
  finish_sending(&c);
  while (receive(&c, 1)) {
  }
  report(size / chunk, size, from);
  disconnect(&c);
}

static void download(uint64_t size, size_t chunk) {
  char line[32];
  snprintf(line, sizeof line, "%llu\n", (unsigned long long)size);
  connection c = connect_remote();
  uint64_t from = monotonic_now(), total = 0;
  send_all(&c, (const uint8_t *)line, strlen(line));
  for (size_t got; (got = receive(&c, chunk));) total += got;
  if (total != size) fail("download", "short");
  report(size / chunk, size, from);
  disconnect(&c);
}

static void pingpong(uint64_t count, size_t size) {
  fill("random");
  connection c = connect_remote();
  uint64_t from = monotonic_now();
  for (uint64_t i = 0; i < count; i++) {
    send_all(&c, buffer, size);
    for (size_t got = 0, more; got < size; got += more) {
      more = receive(&c, size - got);
      if (!more) fail("pingpong", "end");
    }
  }
  report(count, count * size, from);
  disconnect(&c);
}

static void http(uint64_t count) {
  static const char request[] = "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";
  uint64_t from = monotonic_now(), total = 0;
  for (uint64_t i = 0; i < count; i++) {
    connection c = connect_remote();
    send_all(&c, (const uint8_t *)request, strlen(request));
    for (size_t got; (got = receive(&c, 65536));) total += got;
    disconnect(&c);
  }
  report(count, total, from);
}

static void poll_idle(uint64_t count, size_t idle) {
  static connection open[MAX_IDLE + 1];
  static handle readable[MAX_IDLE + 1];
  open[0] = connect_remote();
  send_all(&open[0], buffer, 1);
  pollable_block(open[0].readable);
  for (size_t i = 1; i <= idle; i++) open[i] = connect_remote();
  for (size_t i = 0; i <= idle; i++) readable[i] = open[i].readable;
  uint64_t from = monotonic_now();
  for (uint64_t i = 0; i < count; i++) {
    indices ready;
    poll_list(readable, idle + 1, &ready);
    if (ready.length != 1 || ready.items[0]) fail("poll", "ready");
    free(ready.items);
  }
  report(count, 0, from);
  for (size_t i = 0; i <= idle; i++) disconnect(&open[i]);
}

static void echo_next(handle listener, handle acceptable) {
  result_accepted accepted;
  for (;;) {
    tcp_accept(listener, &accepted);
    if (!accepted.failed || accepted.error != ERROR_WOULD_BLOCK) break;
    pollable_block(acceptable);
  }
  check("accept", accepted.failed, accepted.error);
  connection c = subscribed(accepted.peer.socket, accepted.peer.input, accepted.peer.output);
  for (size_t got; (got = receive(&c, 65536));) send_all(&c, buffer, got);
  disconnect(&c);
}

static void accept_and_echo(uint64_t count) {
  handle listener = new_socket();
  result_unit result;
  tcp_start_bind(listener, network, SPREAD(remote), &result);
  check("start-bind", result.failed, result.error);
  tcp_finish_bind(listener, &result);
  check("finish-bind", result.failed, result.error);
  tcp_start_listen(listener, &result);
  check("start-listen", result.failed, result.error);
  tcp_finish_listen(listener, &result);
  check("finish-listen", result.failed, result.error);
  handle acceptable = tcp_subscribe(listener);
  echo_next(listener, acceptable);
  uint64_t from = monotonic_now();
  for (uint64_t i = 0; i < count; i++) echo_next(listener, acceptable);
  report(count, 0, from);
  drop_pollable(acceptable);
  drop_tcp_socket(listener);
}

static void lookup(const char *name, uint64_t count) {
  uint64_t from = monotonic_now();
  for (uint64_t i = 0; i < count; i++) {
    result_handle stream;
    resolve_addresses(network, name, strlen(name), &stream);
    check("resolve-addresses", stream.failed, stream.error);
    handle pollable = resolve_subscribe(stream.value);
    result_next_address found;
    do {
      resolve_next_address(stream.value, &found);
      if (found.failed && found.error == ERROR_WOULD_BLOCK) pollable_block(pollable);
      else check("resolve-next-address", found.failed, found.error);
    } while (found.failed || found.next.some);
    drop_pollable(pollable);
    drop_resolve_address_stream(stream.value);
  }
  report(count, 0, from);
}

int main(int argc, char **argv) {
  unsigned a, b, c, d;
  network = instance_network();
  if (argc == 4 && !strcmp(argv[1], "lookup")) {
    lookup(argv[2], strtoull(argv[3], NULL, 10));
    drop_network(network);
    return 0;
  }
  if (argc < 5 || sscanf(argv[2], "%u.%u.%u.%u", &a, &b, &c, &d) != 4) fail("usage", "arguments");
  remote = (flat_address){IPV4, {atoi(argv[3]), (int32_t)a, (int32_t)b, (int32_t)c, (int32_t)d}};
  uint64_t count = strtoull(argv[4], NULL, 10);
  size_t size = argc > 5 ? strtoul(argv[5], NULL, 10) : 0;
  if (size > MAX_CHUNK) fail("usage", "chunk");
  if (!strcmp(argv[1], "connects") && argc == 5) connects(count);
  else if (!strcmp(argv[1], "upload") && argc == 7 && size) upload(count, size, argv[6]);
  else if (!strcmp(argv[1], "download") && argc == 6 && size) download(count, size);
  else if (!strcmp(argv[1], "pingpong") && argc == 6 && size) pingpong(count, size);
  else if (!strcmp(argv[1], "http") && argc == 5) http(count);
  else if (!strcmp(argv[1], "poll") && argc == 6 && size <= MAX_IDLE) poll_idle(count, size);
  else if (!strcmp(argv[1], "accept") && argc == 5) accept_and_echo(count);
  else fail("usage", "subcommand");
  drop_network(network);
  return 0;
}
