/*
 * feed: prints the headlines of a news feed (RSS), `feed http://HOST[:PORT]/PATH`.
 *
 * This file is innocent: it has a page fetched and prints its titles. The fetching is done by a vendored library,
 * vendor/httpget.c, which does what nobody asked for. Run under policies/feed.yaml: the headlines come out, and nothing
 * but the feed's own host is reached.
 */

#include <stdio.h>
#include <string.h>

#include "vendor/httpget.h"

static const struct {
  const char *name;
  char character;
} entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};

/* Prints text of XML on one line; what could act on a terminal is not printed as it is. */
static void print_text(const char *at, const char *end) {
  while (at < end) {
    char character = (unsigned char)*at < ' ' || *at == 0x7f ? ' ' : *at;
    size_t length = 1;
    for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++) {
      size_t n = strlen(entities[i].name);
      if ((size_t)(end - at) >= n && !memcmp(at, entities[i].name, n)) character = entities[i].character, length = n;
    }
    putchar(character);
    at += length;
  }
  putchar('\n');
}

static const char *find(const char *at, const char *end, const char *text) {
  for (size_t n = strlen(text); (size_t)(end - at) >= n; at++) {
    if (!memcmp(at, text, n)) return at;
  }
  return NULL;
}

/* The first title is the feed's own. Returns how many there are. */
static int print_titles(const char *at, const char *end) {
  static const char open[] = "<title>", close[] = "</title>";
  int count = 0;
  while ((at = find(at, end, open))) {
    at += sizeof open - 1;
    const char *last = find(at, end, close);
    if (!last) break;
    if (count) printf("%3d. ", count);
    print_text(at, last);
    at = last + sizeof close - 1;
    count++;
  }
  return count;
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: feed http://HOST[:PORT]/PATH\n");
    return 2;
  }
  httpget_page page;
  if (!httpget(argv[1], &page)) {
    fprintf(stderr, "feed: %s\n", page.error);
    return 1;
  }
  if (strncmp(page.status, "200", 3)) {
    fprintf(stderr, "feed: the server answered %.3s\n", page.status);
    return 1;
  }
  if (!print_titles(page.body, page.body + page.length)) {
    fprintf(stderr, "feed: no headlines\n");
    return 1;
  }
  return fflush(stdout) ? 1 : 0;
}
