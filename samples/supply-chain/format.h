/*
 * The formatting of ../report.c, by the library of another component: what fastfmt.wit has, imported. Where report.c is
 * compiled with FASTFMT, these stand in for its own amount() and put_table().
 */

#ifndef FORMAT_H
#define FORMAT_H

#define FORMAT(function) __attribute__((import_module("vendor:fastfmt/format@1.0.0"), import_name(function)))

/* The canonical ABI: a string or list is (address, length). */
typedef struct {
  char *at;
  size_t length;
} string;

typedef struct {
  string heading;
  uint8_t numeric;
} column;

typedef struct {
  string *cells;
  size_t count;
} row;

FORMAT("format-amount") void format_amount(int64_t cents, string *result);
FORMAT("format-table")
void format_table(const column *columns, size_t column_count, const row *rows, size_t row_count, string *result);

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  (void)old_size;
  return size ? checked(realloc(old, size)) : (void *)align;
}

static string string_of(const char *text) { return (string){checked(strdup(text)), strlen(text)}; }

static const char *amount(int64_t cents, char buffer[32]) {
  string text;
  format_amount(cents, &text);
  snprintf(buffer, 32, "%.*s", (int)text.length, text.at);
  if (text.length) free(text.at);
  return buffer;
}

static void put_table(FILE *out, const char *heading, const totals *table, const char *currency) {
  enum { WIDTH = 3 };
  char buffer[32], *total_of = checked(malloc(strlen(currency) + sizeof "Total ()"));
  string *cells = checked(calloc(table->count + 1, WIDTH * sizeof *cells)), text;
  row *rows = checked(calloc(table->count + 1, sizeof *rows));
  sprintf(total_of, "Total (%s)", currency);
  for (size_t i = 0; i < table->count; i++) {
    const total *item = &table->items[i];
    rows[i] = (row){cells + i * WIDTH, WIDTH};
    rows[i].cells[0] = string_of(item->name);
    snprintf(buffer, sizeof buffer, "%lu", item->rows);
    rows[i].cells[1] = string_of(buffer);
    rows[i].cells[2] = string_of(amount(item->cents, buffer));
  }
  column columns[WIDTH] = {{string_of(heading), 0}, {string_of("Rows"), 1}, {string_of(total_of), 1}};
  format_table(columns, WIDTH, rows, table->count, &text);
  fprintf(out, "\n%.*s", (int)text.length, text.at);
  if (text.length) free(text.at);
  for (size_t i = 0; i < table->count * WIDTH; i++) free(cells[i].at);
  for (size_t i = 0; i < WIDTH; i++) free(columns[i].heading.at);
  free(cells);
  free(rows);
  free(total_of);
}

#endif
