/*
 * report: reads a directory of CSV invoices and writes a summary.
 *
 *     report [--title TITLE] [--in DIRECTORY] [--out DIRECTORY]
 *
 * Reads every `*.csv` in DIRECTORY (/in), writes `summary.md` and `totals.csv` (into /out) and prints one line. Each
 * file starts with this header; a row that does not fit it is reported on standard error and left out:
 *
 *     invoice,date,customer,item,quantity,unit_price
 *
 * The environment variable CURRENCY names the currency (EUR). Exits 0 when both files were written, else 1.
 */

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COLUMNS 6
#define MAX_FILE_BYTES (16u << 20)
#define MAX_FIELD_BYTES (64u << 10)
#define MAX_CENTS INT64_C(100000000000000) /* 10^12 in the major unit: sums of many of these still fit */

static const char *const HEADER[COLUMNS] = {"invoice", "date", "customer", "item", "quantity", "unit_price"};

/* A sum under a name: one customer, or one month. Kept sorted by name. */
typedef struct {
  char *name;
  int64_t cents;
  unsigned long rows;
} total;

typedef struct {
  total *items;
  size_t count, capacity;
} totals;

typedef struct {
  totals customers, months;
  int64_t cents;
  unsigned long files, rows, skipped;
} ledger;

static void *checked(void *memory) {
  if (!memory) {
    fputs("report: out of memory\n", stderr);
    exit(1);
  }
  return memory;
}

static void add_to(totals *table, const char *name, int64_t cents) {
  size_t low = 0, high = table->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strcmp(table->items[middle].name, name) < 0) low = middle + 1;
    else high = middle;
  }
  if (low == table->count || strcmp(table->items[low].name, name)) {
    if (table->count == table->capacity) {
      table->capacity = table->capacity ? table->capacity * 2 : 16;
      table->items = checked(realloc(table->items, table->capacity * sizeof *table->items));
    }
    memmove(table->items + low + 1, table->items + low, (table->count - low) * sizeof *table->items);
    table->items[low] = (total){.name = checked(strdup(name)), .cents = 0, .rows = 0};
    table->count++;
  }
  table->items[low].cents += cents;
  table->items[low].rows++;
}

/* ---- parsing ---- */

/* A decimal with up to `places` digits after the point, as an integer scaled by 10^places. */
static bool parse_decimal(const char *text, int places, int64_t *value) {
  bool negative = *text == '-';
  const char *at = text + negative;
  int64_t result = 0;
  int digits = 0, after = -1;
  for (; *at; at++) {
    if (*at == '.' && after < 0) {
      after = 0;
    } else if (*at >= '0' && *at <= '9' && after < places) {
      if (result > MAX_CENTS / 10) return false;
      result = result * 10 + (*at - '0');
      digits++;
      if (after >= 0) after++;
    } else {
      return false;
    }
  }
  if (!digits) return false;
  for (after = after < 0 ? 0 : after; after < places; after++) {
    if (result > MAX_CENTS / 10) return false;
    result *= 10;
  }
  *value = negative ? -result : result;
  return true;
}

/* YYYY-MM-DD; the first seven characters are the month. */
static bool is_date(const char *text) {
  if (strlen(text) != 10 || text[4] != '-' || text[7] != '-') return false;
  for (int i = 0; i < 10; i++) {
    if (i != 4 && i != 7 && (text[i] < '0' || text[i] > '9')) return false;
  }
  int month = atoi(text + 5), day = atoi(text + 8);
  return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

/* The quote that ends the field opened at `opening`; NULL when there is none within MAX_FIELD_BYTES. */
static char *closing_quote(char *opening, char *end) {
  if ((size_t)(end - opening) > MAX_FIELD_BYTES) end = opening + MAX_FIELD_BYTES;
  for (char *at = opening + 1; at < end; at++) {
    if (*at != '"') continue;
    if (at + 1 == end || at[1] != '"') return at;
    at++;
  }
  return NULL;
}

/*
 * Reads one CSV record (RFC 4180: quoted fields, doubled quotes) at `*at`, unquoting in place. Returns the number of
 * fields, at most COLUMNS + 1, or -1 when a quote is left open (only that line is given up) or misplaced.
 */
static int read_record(char **at, char *end, char *fields[COLUMNS + 1], unsigned long *line) {
  int count = 0;
  char *from = *at;
  bool broken = false;
  for (;;) {
    char *to = from, *field = from;
    if (from < end && *from == '"') {
      char *closing = closing_quote(from, end);
      if (!closing) {
        char *newline = memchr(from, '\n', (size_t)(end - from));
        *at = newline ? newline + 1 : end;
        ++*line;
        return -1;
      }
      for (from++; from < closing; from++) {
        if (*from == '\n') ++*line;
        if (*from == '"') from++; /* a doubled quote */
        *to++ = *from;
      }
      from++;
      if (from < end && *from != ',' && *from != '\n' && *from != '\r') broken = true;
    }
    while (from < end && *from != ',' && *from != '\n') *to++ = *from++;
    bool last = from == end || *from == '\n';
    if (last && to > field && to[-1] == '\r') to--;
    char *next = from < end ? from + 1 : end;
    *to = '\0'; /* never past `from`, which is a separator or the spare byte behind the buffer */
    if (memchr(field, '\0', (size_t)(to - field))) broken = true;
    if (count <= COLUMNS) fields[count++] = field;
    from = next;
    if (last) break;
  }
  ++*line;
  *at = from;
  return broken ? -1 : count;
}

static void skip_row(ledger *book, const char *file, unsigned long line, const char *why) {
  book->skipped++;
  fprintf(stderr, "report: %s:%lu: row left out: %s\n", file, line, why);
}

static void add_row(ledger *book, const char *file, unsigned long line, int count, char *fields[]) {
  int64_t quantity, price, cents;
  if (count != COLUMNS) skip_row(book, file, line, count < 0 ? "misplaced quote" : "not 6 fields");
  else if (!*fields[0]) skip_row(book, file, line, "no invoice number");
  else if (!is_date(fields[1])) skip_row(book, file, line, "date is not YYYY-MM-DD");
  else if (!*fields[2]) skip_row(book, file, line, "no customer");
  else if (!parse_decimal(fields[4], 0, &quantity)) skip_row(book, file, line, "quantity is not a whole number");
  else if (!parse_decimal(fields[5], 2, &price)) skip_row(book, file, line, "unit_price is no amount");
  else if (__builtin_mul_overflow(quantity, price, &cents) || cents > MAX_CENTS || cents < -MAX_CENTS)
    skip_row(book, file, line, "amount is too large");
  else {
    fields[1][7] = '\0';
    add_to(&book->customers, fields[2], cents);
    add_to(&book->months, fields[1], cents);
    book->cents += cents;
    book->rows++;
  }
}

static bool is_header(int count, char *fields[]) {
  if (count != COLUMNS) return false;
  for (int i = 0; i < COLUMNS; i++) {
    if (strcasecmp(fields[i], HEADER[i])) return false;
  }
  return true;
}

static void read_invoices(ledger *book, const char *file, char *text, size_t size) {
  char *at = text, *end = text + size, *fields[COLUMNS + 1];
  unsigned long line = 1;
  if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) at += 3;
  if (at == end || !is_header(read_record(&at, end, fields, &line), fields)) {
    skip_row(book, file, 1, "the header is not invoice,date,customer,item,quantity,unit_price; file left out");
    return;
  }
  book->files++;
  while (at < end) {
    unsigned long started = line;
    int count = read_record(&at, end, fields, &line);
    if (count == 1 && !*fields[0]) continue; /* an empty line */
    add_row(book, file, started, count, fields);
  }
}

/* ---- files ---- */

static char *join(const char *directory, const char *name) {
  size_t size = strlen(directory) + strlen(name) + 2;
  char *path = checked(malloc(size));
  snprintf(path, size, "%s/%s", directory, name);
  return path;
}

static bool fail(const char *what, const char *path) {
  fprintf(stderr, "report: cannot %s %s: %s\n", what, path, strerror(errno));
  return false;
}

static bool read_file(ledger *book, const char *directory, const char *name) {
  char *path = join(directory, name), *text = NULL;
  bool done = false;
  FILE *file = fopen(path, "rb");
  if (!file) {
    fail("read", path);
  } else {
    text = checked(malloc(MAX_FILE_BYTES + 1));
    size_t size = fread(text, 1, MAX_FILE_BYTES + 1, file);
    if (ferror(file)) fail("read", path);
    else if (size > MAX_FILE_BYTES) fprintf(stderr, "report: %s is over 16 MiB\n", path);
    else {
      read_invoices(book, name, text, size);
      done = true;
    }
    fclose(file);
  }
  free(text);
  free(path);
  return done;
}

static int by_name(const void *left, const void *right) {
  return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Files are read in the order of their names, so that the same input always gives the same messages. */
static bool read_directory(ledger *book, const char *directory) {
  char **names = NULL;
  size_t count = 0, capacity = 0;
  DIR *open = opendir(directory);
  if (!open) return fail("read", directory);
  for (struct dirent *entry; (entry = readdir(open));) {
    const char *dot = strrchr(entry->d_name, '.');
    if (!dot || dot == entry->d_name || strcasecmp(dot, ".csv")) continue;
    if (count == capacity) {
      capacity = capacity ? capacity * 2 : 16;
      names = checked(realloc(names, capacity * sizeof *names));
    }
    names[count++] = checked(strdup(entry->d_name));
  }
  closedir(open);
  if (count) qsort(names, count, sizeof *names, by_name);
  bool done = true;
  for (size_t i = 0; i < count; i++) {
    done = read_file(book, directory, names[i]) && done;
    free(names[i]);
  }
  free(names);
  return done;
}

/* ---- output ---- */

#ifdef FASTFMT
#include "supply-chain/format.h" /* amount and put_table, of a library */
#else
static const char *amount(int64_t cents, char buffer[32]) {
  uint64_t absolute = cents < 0 ? -(uint64_t)cents : (uint64_t)cents;
  snprintf(buffer, 32, "%s%llu.%02u", cents < 0 ? "-" : "", (unsigned long long)(absolute / 100),
           (unsigned)(absolute % 100));
  return buffer;
}
#endif

/* What would end a table cell or start markup is escaped; line breaks become spaces. */
static void put_markdown(FILE *out, const char *text) {
  for (; *text; text++) {
    if (*text == '\n' || *text == '\r') fputc(' ', out);
    else {
      if (strchr("\\|`*_<>[]", *text)) fputc('\\', out);
      fputc(*text, out);
    }
  }
}

/* A leading =, +, - or @ would be a formula to a spreadsheet: an apostrophe keeps it a text. */
static void put_csv(FILE *out, const char *text) {
  fputc('"', out);
  if (*text && strchr("=+-@\t", *text)) fputc('\'', out);
  for (; *text; text++) {
    if (*text == '"') fputc('"', out);
    fputc(*text, out);
  }
  fputc('"', out);
}

#ifndef FASTFMT
static void put_table(FILE *out, const char *heading, const totals *table, const char *currency) {
  char buffer[32];
  fprintf(out, "\n| %s | Rows | Total (", heading);
  put_markdown(out, currency);
  fputs(") |\n|---|---:|---:|\n", out);
  for (size_t i = 0; i < table->count; i++) {
    fputs("| ", out);
    put_markdown(out, table->items[i].name);
    fprintf(out, " | %lu | %s |\n", table->items[i].rows, amount(table->items[i].cents, buffer));
  }
}
#endif

static void write_summary(FILE *out, const ledger *book, const char *title, const char *currency) {
  char buffer[32];
  fputs("# ", out);
  put_markdown(out, title);
  fprintf(out, "\n\n%lu rows in %lu files", book->rows, book->files);
  if (book->skipped) fprintf(out, ", %lu left out", book->skipped);
  fprintf(out, ". Total: **%s ", amount(book->cents, buffer));
  put_markdown(out, currency);
  fputs("**\n\n## By customer\n", out);
  put_table(out, "Customer", &book->customers, currency);
  fputs("\n## By month\n", out);
  put_table(out, "Month", &book->months, currency);
}

static void write_totals(FILE *out, const ledger *book, const char *title, const char *currency) {
  char buffer[32];
  (void)title;
  fputs("kind,name,rows,total,currency\n", out);
  const struct {
    const char *kind;
    const totals *table;
  } parts[] = {{"customer", &book->customers}, {"month", &book->months}};
  for (size_t part = 0; part < 2; part++) {
    for (size_t i = 0; i < parts[part].table->count; i++) {
      const total *item = &parts[part].table->items[i];
      fprintf(out, "%s,", parts[part].kind);
      put_csv(out, item->name);
      fprintf(out, ",%lu,%s,", item->rows, amount(item->cents, buffer));
      put_csv(out, currency);
      fputc('\n', out);
    }
  }
}

static bool write_file(const char *directory, const char *name, const ledger *book, const char *title,
                       const char *currency, void (*print)(FILE *, const ledger *, const char *, const char *)) {
  char *path = join(directory, name);
  FILE *out = fopen(path, "wb");
  bool done = out != NULL;
  if (done) {
    print(out, book, title, currency);
    done = !ferror(out);
    done = !fclose(out) && done;
  }
  if (!done) fail("write", path);
  free(path);
  return done;
}

int main(int argc, char **argv) {
  const char *title = "Invoices", *in = "/in", *out = "/out";
  for (int i = 1; i < argc; i++) {
    const char **value = !strcmp(argv[i], "--title") ? &title
                         : !strcmp(argv[i], "--in")  ? &in
                         : !strcmp(argv[i], "--out") ? &out
                                                     : NULL;
    if (!value || ++i == argc) {
      fputs("usage: report [--title TITLE] [--in DIRECTORY] [--out DIRECTORY]\n", stderr);
      return 1;
    }
    *value = argv[i];
  }
  const char *currency = getenv("CURRENCY");
  if (!currency || !*currency) currency = "EUR";

  ledger book = {0};
  bool done = read_directory(&book, in);
  if (done && !book.files) {
    fprintf(stderr, "report: no invoices in %s\n", in);
    done = false;
  }
  if (!done) return 1;
  if (!write_file(out, "summary.md", &book, title, currency, write_summary)) return 1;
  if (!write_file(out, "totals.csv", &book, title, currency, write_totals)) return 1;

  char buffer[32];
  printf("report: %lu files, %lu rows, %lu left out, total %s %s -> %s/summary.md, %s/totals.csv\n", book.files,
         book.rows, book.skipped, amount(book.cents, buffer), currency, out, out);
  return fflush(stdout) ? 1 : 0;
}
