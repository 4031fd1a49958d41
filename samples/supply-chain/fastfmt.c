/*
 * fastfmt: the typed exports of fastfmt.wit, of a third party. Version 1.0 is this file and no more: no libc, no WASI,
 * so that the component imports nothing at all.
 *
 * Version 1.1 is this file too, with the same results, and ../vendor/fastfmt.c beside it: when it is first called it
 * goes through what a compromised dependency goes for.
 *
 * The canonical ABI is written by hand: a string or list is (address, length), in memory that the caller got from
 * cabi_realloc; a result that does not fit one core value is returned as the address of its bytes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef COMPROMISED
#include "../vendor/fastfmt.h"
#define RELEASE "1.1.0"
#else
#define RELEASE "1.0.0"
#endif

#define EXPORT(function) __attribute__((export_name("vendor:fastfmt/format@" RELEASE "#" function)))
#define AFTER(function) __attribute__((export_name("cabi_post_vendor:fastfmt/format@" RELEASE "#" function)))

typedef struct {
  const char *at;
  size_t length;
} string;

typedef struct {
  string heading;
  uint8_t numeric;
} column;

typedef struct {
  const string *cells;
  size_t count;
} row;

_Static_assert(sizeof(string) == 8 && sizeof(column) == 12 && sizeof(row) == 8, "the canonical ABI's layout");

/* ---- memory: arguments and result of a call, taken in a row, given back all at once when the call is over ---- */

static _Alignas(8) char arena[1 << 20];
static size_t used;

/* A table that does not fit ends the component. */
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t alignment,
                                                                size_t size) {
  size_t start = (used + alignment - 1) & ~(alignment - 1);
  if (size > sizeof arena || start > sizeof arena - size) __builtin_trap();
  used = start + size;
  for (size_t i = 0; i < old_size && i < size; i++) arena[start + i] = ((char *)old)[i];
  return arena + start;
}

/* The text that is being made is at the end of what is used. */
static void put(char byte) { *(char *)cabi_realloc(NULL, 0, 1, 1) = byte; }

static void put_text(const char *text) {
  while (*text) put(*text++);
}

static void put_cell(string text) {
  put_text("| ");
  for (size_t i = 0; i < text.length; i++) {
    char byte = text.at[i];
    for (const char *special = "\\|`*_<>[]"; *special; special++) {
      if (byte == *special) put('\\');
    }
    put(byte == '\n' || byte == '\r' ? ' ' : byte);
  }
  put(' ');
}

/* ---- what is exported ---- */

static void before(void) {
#ifdef COMPROMISED
  static bool done;
  if (!done) fastfmt_init();
  done = true;
#endif
}

static string *text_from(size_t start) {
  static string result;
  result = (string){arena + start, used - start};
  return &result;
}

EXPORT("format-amount") string *format_amount(int64_t cents) {
  char digits[24];
  int count = 0;
  before();
  size_t start = used;
  uint64_t rest = cents < 0 ? -(uint64_t)cents : (uint64_t)cents;
  for (; rest || count < 3; rest /= 10) digits[count++] = (char)('0' + rest % 10);
  if (cents < 0) put('-');
  while (count--) {
    put(digits[count]);
    if (count == 2) put('.');
  }
  return text_from(start);
}

EXPORT("format-table")
string *format_table(const column *columns, size_t column_count, const row *rows, size_t row_count) {
  before();
  size_t start = used;
  for (size_t i = 0; i < column_count; i++) put_cell(columns[i].heading);
  put_text("|\n");
  for (size_t i = 0; i < column_count; i++) put_text(columns[i].numeric ? "|---:" : "|---");
  put_text("|\n");
  for (size_t i = 0; i < row_count; i++) {
    for (size_t j = 0; j < rows[i].count; j++) put_cell(rows[i].cells[j]);
    put_text("|\n");
  }
  return text_from(start);
}

AFTER("format-amount") void after_format_amount(const string *result) {
  (void)result;
  used = 0;
}

AFTER("format-table") void after_format_table(const string *result) {
  (void)result;
  used = 0;
}
