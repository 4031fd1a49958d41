/*
 * preview1: calls the functions of WASI preview 1 with just the numbers and bytes of its command line, sensible or not.
 * README.md lists the forms of arguments and what is printed.
 *
 *     preview1 [NAME=]FUNCTION [ARGUMENT...] [-- [NAME=]FUNCTION [ARGUMENT...]]...
 *
 * Nothing stands between a command and the host: the functions are imported with their core types, no libc opens, closes
 * or checks anything, and `_start` is its own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef int32_t i32;
typedef int64_t i64;

/*
 * Each function: its name, the kinds of its arguments, its core parameters, and where they are in `core`.
 *
 *   i I   a number of 32, 64 bits           s   bytes: address, length
 *   v     pieces to write: address, count   r   buffers to read into: address, count
 *   b     a buffer: address, length         q   subscriptions: address
 *   others: the address of a result
 */
#define W(n) ((i32)core[n])
#define L(n) (core[n])
#define FUNCTIONS(X)                                                                                                   \
  X(args_get, "PS", (i32, i32), (W(0), W(1)))                                                                          \
  X(args_sizes_get, "uu", (i32, i32), (W(0), W(1)))                                                                    \
  X(environ_get, "PS", (i32, i32), (W(0), W(1)))                                                                       \
  X(environ_sizes_get, "uu", (i32, i32), (W(0), W(1)))                                                                 \
  X(clock_res_get, "iU", (i32, i32), (W(0), W(1)))                                                                     \
  X(clock_time_get, "iIT", (i32, i64, i32), (W(0), L(1), W(2)))                                                        \
  X(fd_advise, "iIIi", (i32, i64, i64, i32), (W(0), L(1), L(2), W(3)))                                                 \
  X(fd_allocate, "iII", (i32, i64, i64), (W(0), L(1), L(2)))                                                           \
  X(fd_close, "i", (i32), (W(0)))                                                                                      \
  X(fd_datasync, "i", (i32), (W(0)))                                                                                   \
  X(fd_fdstat_get, "id", (i32, i32), (W(0), W(1)))                                                                     \
  X(fd_fdstat_set_flags, "ii", (i32, i32), (W(0), W(1)))                                                               \
  X(fd_fdstat_set_rights, "iII", (i32, i64, i64), (W(0), L(1), L(2)))                                                  \
  X(fd_filestat_get, "it", (i32, i32), (W(0), W(1)))                                                                   \
  X(fd_filestat_set_size, "iI", (i32, i64), (W(0), L(1)))                                                              \
  X(fd_filestat_set_times, "iIIi", (i32, i64, i64, i32), (W(0), L(1), L(2), W(3)))                                     \
  X(fd_pread, "irIn", (i32, i32, i32, i64, i32), (W(0), W(1), W(2), L(3), W(4)))                                       \
  X(fd_prestat_get, "ip", (i32, i32), (W(0), W(1)))                                                                    \
  X(fd_prestat_dir_name, "ib", (i32, i32, i32), (W(0), W(1), W(2)))                                                    \
  X(fd_pwrite, "ivIn", (i32, i32, i32, i64, i32), (W(0), W(1), W(2), L(3), W(4)))                                      \
  X(fd_read, "irn", (i32, i32, i32, i32), (W(0), W(1), W(2), W(3)))                                                    \
  X(fd_readdir, "ibIn", (i32, i32, i32, i64, i32), (W(0), W(1), W(2), L(3), W(4)))                                     \
  X(fd_renumber, "ii", (i32, i32), (W(0), W(1)))                                                                       \
  X(fd_seek, "iIiU", (i32, i64, i32, i32), (W(0), L(1), W(2), W(3)))                                                   \
  X(fd_sync, "i", (i32), (W(0)))                                                                                       \
  X(fd_tell, "iU", (i32, i32), (W(0), W(1)))                                                                           \
  X(fd_write, "ivn", (i32, i32, i32, i32), (W(0), W(1), W(2), W(3)))                                                   \
  X(path_create_directory, "is", (i32, i32, i32), (W(0), W(1), W(2)))                                                  \
  X(path_filestat_get, "iist", (i32, i32, i32, i32, i32), (W(0), W(1), W(2), W(3), W(4)))                              \
  X(path_filestat_set_times, "iisIIi", (i32, i32, i32, i32, i64, i64, i32),                                            \
    (W(0), W(1), W(2), W(3), L(4), L(5), W(6)))                                                                        \
  X(path_link, "iisis", (i32, i32, i32, i32, i32, i32, i32), (W(0), W(1), W(2), W(3), W(4), W(5), W(6)))               \
  X(path_open, "iisiIIif", (i32, i32, i32, i32, i32, i64, i64, i32, i32),                                              \
    (W(0), W(1), W(2), W(3), W(4), L(5), L(6), W(7), W(8)))                                                            \
  X(path_readlink, "isbn", (i32, i32, i32, i32, i32, i32), (W(0), W(1), W(2), W(3), W(4), W(5)))                       \
  X(path_remove_directory, "is", (i32, i32, i32), (W(0), W(1), W(2)))                                                  \
  X(path_rename, "isis", (i32, i32, i32, i32, i32, i32), (W(0), W(1), W(2), W(3), W(4), W(5)))                         \
  X(path_symlink, "sis", (i32, i32, i32, i32, i32), (W(0), W(1), W(2), W(3), W(4)))                                    \
  X(path_unlink_file, "is", (i32, i32, i32), (W(0), W(1), W(2)))                                                       \
  X(poll_oneoff, "qecn", (i32, i32, i32, i32), (W(0), W(1), W(2), W(3)))                                               \
  X(proc_raise, "i", (i32), (W(0)))                                                                                    \
  X(sched_yield, "", (void), ())                                                                                       \
  X(random_get, "b", (i32, i32), (W(0), W(1)))                                                                         \
  X(sock_accept, "iif", (i32, i32, i32), (W(0), W(1), W(2)))                                                           \
  X(sock_recv, "irinh", (i32, i32, i32, i32, i32, i32), (W(0), W(1), W(2), W(3), W(4), W(5)))                          \
  X(sock_send, "ivin", (i32, i32, i32, i32, i32), (W(0), W(1), W(2), W(3), W(4)))                                      \
  X(sock_shutdown, "ii", (i32, i32), (W(0), W(1)))

#define IMPORT(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))
#define DECLARE(name, kinds, params, given) i32 IMPORT(name) wasi_##name params;
FUNCTIONS(DECLARE)
_Noreturn void IMPORT(proc_exit) wasi_proc_exit(i32);

#define CALLER(name, kinds, params, given)                                                                             \
  static i32 call_##name(const i64 *core) {                                                                            \
    (void)core;                                                                                                        \
    return wasi_##name given;                                                                                          \
  }
FUNCTIONS(CALLER)

static const struct {
  const char *name, *kinds;
  i32 (*call)(const i64 *);
} functions[] = {
#define ROW(name, kinds, params, given) {#name, kinds, call_##name},
    FUNCTIONS(ROW)};

static const char *const errors[] = {
    "success",     "2big",        "acces",       "addrinuse",   "addrnotavail", "afnosupport", "again",      "already",
    "badf",        "badmsg",      "busy",        "canceled",    "child",        "connaborted", "connrefused", "connreset",
    "deadlk",      "destaddrreq", "dom",         "dquot",       "exist",        "fault",       "fbig",       "hostunreach",
    "idrm",        "ilseq",       "inprogress",  "intr",        "inval",        "io",          "isconn",     "isdir",
    "loop",        "mfile",       "mlink",       "msgsize",     "multihop",     "nametoolong", "netdown",    "netreset",
    "netunreach",  "nfile",       "nobufs",      "nodev",       "noent",        "noexec",      "nolck",      "nolink",
    "nomem",       "nomsg",       "noprotoopt",  "nospc",       "nosys",        "notconn",     "notdir",     "notempty",
    "notrecoverable", "notsock",  "notsup",      "notty",       "nxio",         "overflow",    "ownerdead",  "perm",
    "pipe",        "proto",       "protonosupport", "prototype", "range",       "rofs",        "spipe",      "srch",
    "stale",       "timedout",    "txtbsy",      "xdev",        "notcapable"};
static const char *const types[] = {"unknown", "block-device",  "character-device", "directory",
                                    "file",    "socket-dgram", "socket-stream",    "symlink"};

/* ---- output ---- */

static char line[1 << 18];
static size_t line_length;
static i32 output = 1;

static void put_bytes(const char *bytes, size_t length) {
  for (size_t i = 0; i < length && line_length < sizeof line - 8; i++) line[line_length++] = bytes[i];
}

static void put(const char *text) { put_bytes(text, strlen(text)); }

static void put_number(uint64_t value) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + value % 10);
  while (value /= 10);
  put_bytes(digits + at, sizeof digits - at);
}

static const char hex[] = "0123456789abcdef";

static void put_hex(uint64_t value) {
  char digits[16];
  size_t at = sizeof digits;
  do digits[--at] = hex[value & 15];
  while (value >>= 4);
  put("0x");
  put_bytes(digits + at, sizeof digits - at);
}

static void put_key(const char *key, uint64_t value) {
  put(" ");
  put(key);
  put("=");
  put_number(value);
}

static void put_name(const char *key, const char *const *names, size_t count, uint64_t value) {
  put(" ");
  put(key);
  put("=");
  if (value < count) put(names[value]);
  else put_number(value);
}

#define PUT_NAME(key, names, value) put_name(key, names, sizeof names / sizeof *names, value)

static void put_quoted(const uint8_t *bytes, size_t length) {
  put(" \"");
  for (size_t i = 0; i < length; i++) {
    uint8_t byte = bytes[i];
    if (byte >= 0x20 && byte < 0x7f && byte != '\\' && byte != '"') {
      put_bytes((const char *)&bytes[i], 1);
    } else {
      char code[4] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
      put_bytes(code, 4);
    }
  }
  put("\"");
}

/* A stream that was closed, or is full, is no reason to stop. */
static void flush_line(void) {
  put("\n");
  for (size_t done = 0; done < line_length;) {
    uint32_t piece[2] = {(uint32_t)(uintptr_t)line + done, line_length - done};
    uint32_t written = 0;
    if (wasi_fd_write(output, (i32)(uintptr_t)piece, 1, (i32)(uintptr_t)&written) || !written) break;
    done += written;
  }
  line_length = 0;
}

/* ---- what is passed ---- */

#define SENTINEL 0xa5
#define SLOTS 4
#define SLOT 64
#define PIECES 64

static _Alignas(16) uint8_t results[SLOTS * SLOT];
static _Alignas(16) uint8_t space[1 << 20]; /* strings and buffers */
static size_t space_used;
static _Alignas(16) uint32_t pieces[PIECES * 2];
static _Alignas(16) uint8_t subscriptions[PIECES * 48];

static struct {
  const char *name;
  size_t length;
  i64 value;
} variables[256];
static size_t variable_count;

/* `\xHH` stands for a byte. Returns the length. */
static size_t unescape(const char *text, size_t length, uint8_t *out) {
  size_t count = 0;
  for (size_t i = 0; i < length; i++) {
    const char *high, *low;
    if (text[i] == '\\' && i + 3 < length && text[i + 1] == 'x' && (high = strchr(hex, text[i + 2])) &&
        (low = strchr(hex, text[i + 3]))) {
      out[count++] = (uint8_t)((high - hex) * 16 + (low - hex));
      i += 3;
    } else {
      out[count++] = (uint8_t)text[i];
    }
  }
  return count;
}

/* A number: decimal, 0x hexadecimal, either with `-`; `$NAME`; `end`, `end-N`, `end+N` of memory; `space`, `space+N`. */
static i64 number(const char *text, size_t length) {
  if (length && text[0] == '$') {
    for (size_t i = variable_count; i-- > 0;)
      if (variables[i].length == length - 1 && !memcmp(variables[i].name, text + 1, length - 1))
        return variables[i].value;
    return -1;
  }
  i64 base = 0;
  if (length >= 3 && !memcmp(text, "end", 3)) {
    base = (i64)__builtin_wasm_memory_size(0) << 16;
    text += 3, length -= 3;
  } else if (length >= 5 && !memcmp(text, "space", 5)) {
    base = (i64)(uintptr_t)space + sizeof space / 2;
    text += 5, length -= 5;
  }
  bool negative = length && text[0] == '-';
  if (negative || (length && text[0] == '+')) text++, length--;
  bool hexadecimal = length > 2 && text[0] == '0' && text[1] == 'x';
  if (hexadecimal) text += 2, length -= 2;
  uint64_t value = 0;
  for (size_t i = 0; i < length; i++) {
    const char *digit = strchr(hex, text[i]);
    if (digit) value = value * (hexadecimal ? 16 : 10) + (uint64_t)(digit - hex);
  }
  return base + (i64)(negative ? 0 - value : value);
}

static i64 word_number(const char *word) { return number(word, strlen(word)); }

/* What stands before the next `separator`; moves `text` behind it. */
static size_t take(const char **text, char separator) {
  const char *from = *text, *end = strchr(from, separator);
  size_t length = end ? (size_t)(end - from) : strlen(from);
  *text = from + length + (end ? 1 : 0);
  return length;
}

/* `@ADDRESS` or `@ADDRESS:LENGTH`: numbers that are passed as they are. */
static bool raw(const char *word, i64 *address, i64 *length) {
  if (word[0] != '@') return false;
  const char *rest = word + 1, *from = rest;
  *address = number(from, take(&rest, ':'));
  *length = word_number(rest);
  return true;
}

static size_t reserve(size_t size) {
  space_used = (space_used + 15) & ~(size_t)15;
  size_t at = space_used;
  if (size > sizeof space / 2 - at) __builtin_trap();
  space_used += size;
  return at;
}

static i64 address_of(const void *place) { return (i64)(uintptr_t)place; }

/* Pieces: to write, `TEXT|TEXT`; to read into, `SIZE|SIZE`; each may be `@ADDRESS:LENGTH`. */
static size_t lay_pieces(const char *word, bool to_write) {
  size_t count = 0;
  do {
    const char *from = word;
    size_t length = take(&word, '|');
    i64 address, size;
    if (count == PIECES) __builtin_trap();
    if (from[0] == '@') {
      char copy[64];
      if (length >= sizeof copy) __builtin_trap();
      memcpy(copy, from, length);
      copy[length] = 0;
      raw(copy, &address, &size);
    } else if (to_write) {
      size_t at = reserve(length);
      size = (i64)unescape(from, length, space + at);
      address = address_of(space + at);
    } else {
      size = number(from, length);
      address = address_of(space + reserve((size_t)size + 16));
    }
    pieces[count * 2] = (uint32_t)address;
    pieces[count++ * 2 + 1] = (uint32_t)size;
  } while (word[-1] == '|');
  return count;
}

static void store(uint8_t *at, uint64_t value, size_t size) { memcpy(at, &value, size); }

/* Subscriptions, separated by `|`: `TAG:USERDATA:FD`, or `0:USERDATA:CLOCK:TIMEOUT:PRECISION:FLAGS`. */
static size_t lay_subscriptions(const char *word) {
  size_t count = 0;
  memset(subscriptions, 0, sizeof subscriptions);
  if (!*word) return 0;
  do {
    const char *from = word;
    char copy[128];
    size_t length = take(&word, '|');
    if (count == PIECES || length >= sizeof copy) __builtin_trap();
    memcpy(copy, from, length);
    copy[length] = 0;
    const char *rest = copy;
    i64 field[6] = {0};
    for (size_t i = 0; i < 6 && *rest; i++) {
      const char *start = rest;
      field[i] = number(start, take(&rest, ':'));
    }
    uint8_t *at = subscriptions + 48 * count++;
    store(at, (uint64_t)field[1], 8);
    store(at + 8, (uint64_t)field[0], 1);
    store(at + 16, (uint64_t)field[2], 4);
    store(at + 24, (uint64_t)field[3], 8);
    store(at + 32, (uint64_t)field[4], 8);
    store(at + 40, (uint64_t)field[5], 2);
  } while (word[-1] == '|');
  return count;
}

/* ---- what came back ---- */

static uint64_t load(i64 address, size_t size) {
  uint64_t value = 0;
  memcpy(&value, (const void *)(uintptr_t)(uint32_t)address, size);
  return value;
}

/* Devices, inodes: numbers of the host's own. The order in which they were first seen tells as much. */
static void put_seen(const char *key, uint64_t value) {
  static uint64_t seen[512];
  static size_t count;
  size_t i = 0;
  while (i < count && seen[i] != value) i++;
  if (i == count && count < sizeof seen / sizeof *seen) seen[count++] = value;
  put(" ");
  put(key);
  put("=#");
  put_number(i);
}

/* A time that a test can know is one that it set, long ago or far ahead. */
static void put_time(const char *key, uint64_t value) {
  if (value < 1600000000000000000u || value > 2600000000000000000u) {
    put_key(key, value);
  } else {
    put(" ");
    put(key);
    put("=recent");
  }
}

static void put_filestat(i64 at) {
  uint64_t type = load(at + 16, 1);
  put_seen("dev", load(at, 8));
  put_seen("ino", load(at + 8, 8));
  PUT_NAME("type", types, type);
  if (type != 3) { /* what a directory's are is the file system's own affair */
    put_key("links", load(at + 24, 8));
    put_key("size", load(at + 32, 8));
  }
  put_time("atim", load(at + 40, 8));
  put_time("mtim", load(at + 48, 8));
  put_time("ctim", load(at + 56, 8));
}

static void put_entries(i64 address, uint64_t length) {
  while (length >= 24) {
    uint64_t next = load(address, 8), inode = load(address + 8, 8), name = load(address + 16, 4);
    uint64_t type = load(address + 20, 1);
    address += 24, length -= 24;
    uint64_t shown = name < length ? name : length;
    put_quoted((const uint8_t *)(uintptr_t)(uint32_t)address, shown);
    if (shown < name) put_key("of", name);
    put_key("next", next);
    put_seen("ino", inode);
    PUT_NAME("type", types, type);
    address += (i64)shown, length -= shown;
  }
  if (length) put_key("rest", length);
}

static void put_events(i64 at, uint64_t count) {
  for (uint64_t i = 0; i < count && i < PIECES; i++, at += 32) {
    put(" [");
    put_hex(load(at, 8));
    PUT_NAME("error", errors, load(at + 8, 2));
    put_key("type", load(at + 10, 1));
    if (load(at + 10, 1)) {
      put_key("bytes", load(at + 16, 8));
      put_key("flags", load(at + 24, 2));
    }
    put("]");
  }
}

static void put_strings(i64 pointers) {
  for (uint64_t address; (address = load(pointers, 4)) != 0xa5a5a5a5u; pointers += 4) {
    const char *text = (const char *)(uintptr_t)(uint32_t)address;
    put_quoted((const uint8_t *)text, strlen(text));
  }
}

/* Whether bytes from `from` to `to` hold anything but what was there before the call. */
static bool touched(const uint8_t *from, const uint8_t *to) {
  while (from < to)
    if (*from++ != SENTINEL) return true;
  return false;
}

/* ---- one command ---- */

static void set(const char *name, size_t length, i64 value) {
  if (variable_count == sizeof variables / sizeof *variables) __builtin_trap();
  variables[variable_count].name = name;
  variables[variable_count].length = length;
  variables[variable_count++].value = value;
}

static bool run_function(size_t index, const char *name, size_t name_length, size_t count, char **words) {
  static i64 last_time[8];
  i64 core[10], kept[10] = {0}, lengths[10] = {0};
  size_t cores = 0, slot = 0, buffers = 0, laid = 0, word = 0;
  const char *kinds = functions[index].kinds;
  space_used = 0;
  memset(results, SENTINEL, sizeof results);
  memset(space, SENTINEL, sizeof space / 2);
  for (size_t at = 0; kinds[at]; at++) {
    bool given = word < count && (kinds[at] == 's' || strcmp(words[word], "."));
    const char *text = given ? words[word] : "";
    if (word < count) word++;
    i64 address = 0, length = 0;
    bool is_raw = raw(text, &address, &length);
    bool wide = false;
    switch (kinds[at]) {
      case 'i':
      case 'I': core[cores++] = word_number(text); continue;
      case 'c': core[cores++] = given ? word_number(text) : (i64)laid; continue;
      case 's':
        if (!is_raw) {
          size_t room = reserve(strlen(text));
          address = address_of(space + room);
          length = (i64)unescape(text, strlen(text), space + room);
        }
        wide = true;
        break;
      case 'v':
      case 'r':
        if (!is_raw) {
          length = (i64)lay_pieces(text, kinds[at] == 'v');
          address = address_of(pieces);
        }
        if (kinds[at] == 'r') laid = is_raw ? 0 : (size_t)length;
        wide = true;
        break;
      case 'b':
        if (!is_raw) {
          length = word_number(text);
          address = address_of(space + reserve((size_t)length + 16));
        }
        buffers = is_raw ? 0 : 1;
        wide = true;
        break;
      case 'q':
        if (!is_raw) {
          laid = lay_subscriptions(text);
          address = address_of(subscriptions);
        }
        break;
      case 'e':
      case 'P':
      case 'S':
        if (!is_raw) address = address_of(space + reserve(kinds[at] == 'e' ? PIECES * 32 : 1 << 16));
        break;
      default:
        if (!is_raw) address = address_of(results + SLOT * slot++);
    }
    kept[at] = address;
    lengths[at] = length;
    core[cores++] = address;
    if (wide) core[cores++] = length;
  }
  if (word < count) return false;

  /* From here on `space` is as the call finds it, except for the strings that it was given. */
  i32 code = functions[index].call(core);

  if (code) {
    put("errno ");
    put((uint32_t)code < sizeof errors / sizeof *errors ? errors[code] : "unknown");
    if (touched(results, results + sizeof results)) put(" touched");
    if (name_length) set(name, name_length, -1);
    return true;
  }
  put("ok");
  uint64_t length = UINT64_MAX; /* bytes that were read, entries that were found */
  for (size_t at = 0; kinds[at]; at++)
    if (kinds[at] == 'n') length = load(kept[at], 4);
  for (size_t at = 0; kinds[at]; at++) {
    switch (kinds[at]) {
      case 'f':
        put_key("fd", load(kept[at], 4));
        if (name_length) set(name, name_length, (i64)load(kept[at], 4));
        break;
      case 'u': put_key("u32", load(kept[at], 4)); break;
      case 'n': put_key("n", length); break;
      case 'h': put_key("flags", load(kept[at], 2)); break;
      case 'U': put_key("u64", load(kept[at], 8)); break;
      case 'T': {
        i64 now = (i64)load(kept[at], 8), *last = &last_time[core[0] & 7];
        put(now >= *last ? " later" : " earlier");
        *last = now;
        break;
      }
      case 't': put_filestat(kept[at]); break;
      case 'd':
        PUT_NAME("type", types, load(kept[at], 1));
        put_key("flags", load(kept[at] + 2, 2));
        put(" base=");
        put_hex(load(kept[at] + 8, 8));
        put(" inheriting=");
        put_hex(load(kept[at] + 16, 8));
        break;
      case 'p':
        put_key("tag", load(kept[at], 1));
        put_key("length", load(kept[at] + 4, 4));
        break;
      case 'P': put_strings(kept[at]); break;
      case 'e': put_events(kept[at], length); break;
      case 'r': {
        uint64_t left = length;
        for (size_t i = 0; i < laid; i++) {
          uint64_t size = pieces[i * 2 + 1], part = left < size ? left : size;
          const uint8_t *from = (const uint8_t *)(uintptr_t)pieces[i * 2];
          put_quoted(from, part < 256 ? part : 256);
          if (size < sizeof space && touched(from + part, from + size)) put(" beyond");
          left -= part;
        }
        break;
      }
      case 'b': {
        if (!buffers) break;
        const uint8_t *from = (const uint8_t *)(uintptr_t)kept[at];
        uint64_t size = (uint64_t)lengths[at], used = length < size ? length : size;
        if (!strcmp(functions[index].name, "fd_readdir")) put_entries(kept[at], used);
        else if (!strcmp(functions[index].name, "random_get")) {
          size_t same = 0; /* of each 64 bytes, at least one is another one than before */
          for (uint64_t i = 0; i + 64 <= size; i += 64) same += !touched(from + i, from + i + 64);
          if (same) put_key("untouched", same);
        } else if (length == UINT64_MAX) { /* fd_prestat_dir_name */
          while (used && from[used - 1] == SENTINEL) used--;
          put_quoted(from, used);
        } else {
          put_quoted(from, used);
        }
        if (touched(from + used, from + size + 16)) put(" beyond");
        break;
      }
    }
  }
  return true;
}

static void run_command(size_t count, char **words) {
  const char *name = words[0], *function = strchr(name, '=');
  size_t name_length = function ? (size_t)(function - name) : 0;
  function = function ? function + 1 : name;
  line_length = 0;
  if (!strcmp(function, "proc_exit") && count == 2) wasi_proc_exit((i32)word_number(words[1]));
  for (size_t i = 0; i < count; i++) {
    put(i ? " " : "");
    put(words[i]);
  }
  put(" -> ");
  if (!strcmp(function, "output") && count == 2) { /* lines go to this descriptor from now on */
    output = (i32)word_number(words[1]);
    put("ok");
    flush_line();
    return;
  }
  if (!strcmp(function, "unreachable")) __builtin_trap();
  if (!strcmp(function, "grow") && count == 2) {
    put(__builtin_wasm_memory_grow(0, (size_t)word_number(words[1])) == SIZE_MAX ? "failed" : "ok");
    flush_line();
    return;
  }
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    if (strcmp(functions[i].name, function)) continue;
    if (!run_function(i, name, name_length, count - 1, words + 1)) put("too many arguments");
    flush_line();
    return;
  }
  put("unknown");
  flush_line();
}

/* The command line, in memory of its own: `args_get` as a command is then the guest's second. */
static char *arguments[1 << 15];
static char argument_bytes[1 << 20];

void _start(void);

void _start(void) {
  uint32_t count = 0, size = 0;
  if (wasi_args_sizes_get((i32)(uintptr_t)&count, (i32)(uintptr_t)&size)) __builtin_trap();
  if (count > sizeof arguments / sizeof *arguments || size > sizeof argument_bytes) __builtin_trap();
  if (wasi_args_get((i32)(uintptr_t)arguments, (i32)(uintptr_t)argument_bytes)) __builtin_trap();
  for (size_t from = 1; from < count;) {
    size_t to = from;
    while (to < count && strcmp(arguments[to], "--")) to++;
    if (to > from) run_command(to - from, arguments + from);
    from = to + 1;
  }
}
