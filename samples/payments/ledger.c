/*
 * ledger: the payments, a row each in /db/ledger.csv. It exports bank:payments/ledger and imports bank:payments/auth
 * (bank.wit): before anything is posted or told, it asks there itself, whatever its caller has checked.
 *
 *     number,cents,payer,payee
 *     1,1250,ann,bob
 *
 * The file is made with the first payment. Every user starts with 100.00.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"

#define BOOK "/db/ledger.csv"
#define HEADER "number,cents,payer,payee\n"
#define OPENING_CENTS 10000
#define MAX_CENTS UINT64_C(100000000000) /* of one payment */
#define MAX_LINE 512

IMPORT("auth", "validate-user")
void validate_user(const char *user, size_t user_length, const char *pin, size_t pin_length, outcome *);
IMPORT("auth", "users") void users(strings *);

static ledger_error unavailable(const char *what, const char *why) {
  char text[MAX_LINE];
  snprintf(text, sizeof text, "%s: %s", what, why);
  return (ledger_error){.kind = UNAVAILABLE, .why = string_of(text)};
}

/* ---- who ---- */

static bool is_valid(string user, string pin, ledger_error *error) {
  outcome answer;
  validate_user(user.at, user.length, pin.at, pin.length, &answer);
  if (answer.failed) *error = (ledger_error){.kind = REFUSED, .why = answer.error};
  return !answer.failed;
}

static bool is(string name, const char *other) {
  return name.length == strlen(other) && !memcmp(name.at, other, name.length);
}

static bool is_user(string name) {
  strings all;
  bool found = false;
  users(&all);
  for (size_t i = 0; i < all.length; i++) {
    found = found || (all.at[i].length == name.length && !memcmp(all.at[i].at, name.at, name.length));
    drop(all.at[i]);
  }
  if (all.length) free(all.at);
  return found;
}

/* A name that would be two fields, or two rows, has no account. */
static bool fits_a_field(string name) {
  if (!name.length || name.length > 100) return false;
  for (size_t i = 0; i < name.length; i++) {
    if (name.at[i] == ',' || (unsigned char)name.at[i] < ' ') return false;
  }
  return true;
}

/* ---- the book ---- */

typedef struct {
  uint32_t number;
  uint64_t cents;
  const char *payer, *payee;
} row;

/* One line, whose fields are cut out of it. */
static bool parse(char *line, row *into) {
  char *end;
  size_t length = strlen(line);
  if (!length || line[length - 1] != '\n') return false;
  line[length - 1] = '\0';
  into->number = (uint32_t)strtoul(line, &end, 10);
  if (*end != ',') return false;
  into->cents = strtoull(end + 1, &end, 10);
  char *payee = *end == ',' ? strchr(end + 1, ',') : NULL;
  if (!payee || into->cents > MAX_CENTS) return false;
  *payee = '\0';
  into->payer = end + 1;
  into->payee = payee + 1;
  return true;
}

typedef struct {
  bool written; /* whether there is a book */
  uint32_t last; /* the number of its last row */
  uint64_t cents;
} account;

/* What `user` has, by all rows so far. */
static bool sum_up(string user, account *into, ledger_error *error) {
  char line[MAX_LINE];
  row next;
  bool fits = true;
  *into = (account){.cents = OPENING_CENTS};
  FILE *book = fopen(BOOK, "r");
  if (!book) {
    if (errno == ENOENT) return true;
    *error = unavailable(BOOK, strerror(errno));
    return false;
  }
  into->written = true;
  if (!fgets(line, sizeof line, book) || strcmp(line, HEADER)) fits = false;
  while (fits && fgets(line, sizeof line, book)) {
    fits = parse(line, &next);
    if (!fits) break;
    into->last = next.number;
    if (is(user, next.payee)) fits = !__builtin_add_overflow(into->cents, next.cents, &into->cents);
    if (is(user, next.payer)) fits = fits && !__builtin_sub_overflow(into->cents, next.cents, &into->cents);
  }
  if (!fits) *error = unavailable(BOOK, "not a ledger");
  else if (ferror(book)) *error = unavailable(BOOK, strerror(errno));
  fits = fits && !ferror(book);
  fclose(book);
  return fits;
}

static bool append(bool written, const receipt *made, ledger_error *error) {
  FILE *book = fopen(BOOK, "a");
  bool done = book != NULL;
  if (done) {
    fprintf(book, "%s%" PRIu32 ",%" PRIu64 ",%.*s,%.*s\n", written ? "" : HEADER, made->number, made->cents,
            (int)made->payer.length, made->payer.at, (int)made->payee.length, made->payee.at);
    done = !ferror(book);
    done = !fclose(book) && done;
  }
  if (!done) *error = unavailable(BOOK, strerror(errno));
  return done;
}

/* ---- what is exported ---- */

static bool pay(string payer, string payee, uint64_t cents, string pin, receipt *made, ledger_error *error) {
  account of_payer;
  if (!is_valid(payer, pin, error)) return false;
  if (!fits_a_field(payer) || !fits_a_field(payee) || !is_user(payee)) {
    *error = (ledger_error){.kind = NO_SUCH_PAYEE};
    return false;
  }
  if (!cents || cents > MAX_CENTS) {
    *error = (ledger_error){.kind = BAD_AMOUNT};
    return false;
  }
  if (!sum_up(payer, &of_payer, error)) return false;
  if (cents > of_payer.cents) {
    *error = (ledger_error){.kind = INSUFFICIENT_FUNDS, .cents = of_payer.cents};
    return false;
  }
  *made = (receipt){of_payer.last + 1, payer, payee, cents, of_payer.cents - cents};
  return append(of_payer.written, made, error);
}

static void drop_error(const ledger_error *error) {
  if (error->kind == REFUSED || error->kind == UNAVAILABLE) drop(error->why);
}

EXPORT("ledger", "post")
posted *ledger_post(char *payer_at, size_t payer_length, char *payee_at, size_t payee_length, uint64_t cents,
                    char *pin_at, size_t pin_length) {
  static posted result;
  string payer = {payer_at, payer_length}, payee = {payee_at, payee_length}, pin = {pin_at, pin_length};
  ledger_error error;
  result.failed = !pay(payer, payee, cents, pin, &result.receipt, &error);
  drop(pin);
  if (result.failed) {
    result.error = error;
    drop(payer);
    drop(payee);
  }
  return &result;
}

AFTER("ledger", "post") void after_post(const posted *result) {
  if (result->failed) {
    drop_error(&result->error);
  } else {
    drop(result->receipt.payer);
    drop(result->receipt.payee);
  }
}

EXPORT("ledger", "balance")
balanced *ledger_balance(char *user_at, size_t user_length, char *pin_at, size_t pin_length) {
  static balanced result;
  string user = {user_at, user_length}, pin = {pin_at, pin_length};
  ledger_error error;
  account of_user;
  result.failed = !is_valid(user, pin, &error) || !sum_up(user, &of_user, &error);
  if (result.failed) result.error = error;
  else result.cents = of_user.cents;
  drop(user);
  drop(pin);
  return &result;
}

AFTER("ledger", "balance") void after_balance(const balanced *result) {
  if (result->failed) drop_error(&result->error);
}
