/* httpget: fetches a page, over sockets of WASI 0.2. */

#ifndef HTTPGET_H
#define HTTPGET_H

#include <stdbool.h>
#include <stddef.h>

/* The longest page that is fetched whole; the rest is left out. */
#define HTTPGET_MAX (256 * 1024)

typedef struct {
  const char *error;  /* why there is no page, or NULL */
  const char *status; /* "200 OK" */
  const char *body;   /* in memory of the library's own, until the next call; not terminated */
  size_t length;
} httpget_page;

/* Fetches http://HOST[:PORT][/PATH]. Whether there is a page, of whichever status. */
bool httpget(const char *url, httpget_page *page);

#endif
