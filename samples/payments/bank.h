/*
 * The values of bank.wit as the canonical ABI lays them out, for the components in C.
 *
 * A string or list is (address, length), the length in bytes or elements; a result is a byte that says whether it
 * failed, then, aligned, what came of it. What a caller passes or a callee answers was allocated by the cabi_realloc of
 * the component that receives it, and is that component's to free.
 */

#ifndef BANK_H
#define BANK_H

#include <stddef.h>
#include <stdint.h>

#define BANK "bank:payments/"
#define VERSION "@1.0.0"
#define IMPORT(interface, function) __attribute__((import_module(BANK interface VERSION), import_name(function)))
#define EXPORT(interface, function) __attribute__((export_name(BANK interface VERSION "#" function)))
/* Called when the caller has read the result. */
#define AFTER(interface, function) __attribute__((export_name("cabi_post_" BANK interface VERSION "#" function)))

typedef struct {
  char *at;
  size_t length;
} string;

typedef struct {
  string *at;
  size_t length;
} strings;

typedef struct {
  uint32_t number;
  string payer, payee;
  uint64_t cents, balance;
} receipt;

enum { REFUSED, NO_SUCH_PAYEE, BAD_AMOUNT, INSUFFICIENT_FUNDS, UNAVAILABLE };

typedef struct {
  uint8_t kind;
  union {
    string why; /* REFUSED, UNAVAILABLE */
    uint64_t cents; /* INSUFFICIENT_FUNDS */
  };
} ledger_error;

/* result<_, string> */
typedef struct {
  uint8_t failed;
  string error;
} outcome;

typedef struct {
  uint8_t failed;
  union {
    receipt receipt;
    ledger_error error;
  };
} posted;

typedef struct {
  uint8_t failed;
  union {
    uint64_t cents;
    ledger_error error;
  };
} balanced;

_Static_assert(offsetof(receipt, cents) == 24 && sizeof(receipt) == 40, "the canonical ABI's layout");
_Static_assert(offsetof(ledger_error, cents) == 8 && sizeof(ledger_error) == 16, "the canonical ABI's layout");
_Static_assert(offsetof(posted, receipt) == 8 && sizeof(posted) == 48, "the canonical ABI's layout");
_Static_assert(offsetof(balanced, cents) == 8 && sizeof(balanced) == 24, "the canonical ABI's layout");
_Static_assert(offsetof(outcome, error) == 4 && sizeof(outcome) == 12, "the canonical ABI's layout");

/* Ends the component where there is no memory left, as it ends where the canonical ABI asks for some. */
void *checked(void *memory);

/* A copy of a text, to hand over; and back. */
string string_of(const char *text);
void drop(string text);

#endif
