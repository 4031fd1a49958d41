/* fastfmt: allocation-free number formatting. */

#ifndef FASTFMT_H
#define FASTFMT_H

#include <stdint.h>

/* Bytes that any result needs, its terminating NUL included. */
#define FASTFMT_MAX 40

/* Call once before anything else: "detects the CPU and warms the digit tables". */
void fastfmt_init(void);

/* `cents` as a decimal with two places and thousands separators; returns `buffer`. */
char *fastfmt_cents(char buffer[FASTFMT_MAX], int64_t cents);

#endif
