/*
 * app: pays, and tells what an account holds.
 *
 *     app pay PAYER PAYEE AMOUNT PIN
 *     app balance USER PIN
 *     app users
 *
 * It has no files and no network. All it does is call functions of bank:payments (bank.wit), which other components
 * export; that policies/payments.yaml lets it call `validate-user` and not `users` is that policy's. Exits 0 when
 * something was paid, or told; that the payee could not be told of it undoes no payment.
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"

IMPORT("auth", "validate-user")
void auth_validate_user(const char *user, size_t user_length, const char *pin, size_t pin_length, outcome *);
IMPORT("auth", "users") void auth_users(strings *);
IMPORT("ledger", "post")
void ledger_post(const char *payer, size_t payer_length, const char *payee, size_t payee_length, uint64_t cents,
                 const char *pin, size_t pin_length, posted *);
IMPORT("ledger", "balance")
void ledger_balance(const char *user, size_t user_length, const char *pin, size_t pin_length, balanced *);
IMPORT("notify", "notify")
void notify_notify(uint32_t number, const char *payer, size_t payer_length, const char *payee, size_t payee_length,
                   uint64_t cents, uint64_t balance, outcome *);

/* Texts go by (address, length): both of a C string. */
#define TEXT(text) text, strlen(text)
#define PASS(text) text.at, text.length
/* And of one that came back, for "%.*s". */
#define SHOW(text) (int)text.length, text.at

/* An amount with up to two places. */
static bool parse_amount(const char *text, uint64_t *cents) {
  uint64_t result = 0;
  int digits = 0, places = -1;
  for (; *text; text++) {
    if (*text == '.' && places < 0) places = 0;
    else if (*text >= '0' && *text <= '9' && places < 2 && digits < 15) {
      result = result * 10 + (uint64_t)(*text - '0');
      digits++;
      if (places >= 0) places++;
    } else return false;
  }
  for (places = places < 0 ? 0 : places; places < 2; places++) result *= 10;
  *cents = result;
  return digits > 0;
}

static const char *amount(uint64_t cents, char buffer[32]) {
  snprintf(buffer, 32, "%" PRIu64 ".%02u", cents / 100, (unsigned)(cents % 100));
  return buffer;
}

static bool explain(const ledger_error *error, const char *payee) {
  char buffer[32];
  if (error->kind == REFUSED) fprintf(stderr, "app: refused: %.*s\n", SHOW(error->why));
  else if (error->kind == NO_SUCH_PAYEE) fprintf(stderr, "app: nobody to pay is called %s\n", payee);
  else if (error->kind == BAD_AMOUNT) fputs("app: nothing to pay, or too much\n", stderr);
  else if (error->kind == INSUFFICIENT_FUNDS) fprintf(stderr, "app: only %s is there\n", amount(error->cents, buffer));
  else fprintf(stderr, "app: the ledger is not available: %.*s\n", SHOW(error->why));
  return false;
}

static bool validate(const char *user, const char *pin) {
  outcome valid;
  auth_validate_user(TEXT(user), TEXT(pin), &valid);
  if (valid.failed) fprintf(stderr, "app: refused: %.*s\n", SHOW(valid.error));
  return !valid.failed;
}

static bool pay(const char *payer, const char *payee, const char *how_much, const char *pin) {
  uint64_t cents;
  posted result;
  outcome told;
  char paid[32], left[32];
  if (!parse_amount(how_much, &cents)) {
    fprintf(stderr, "app: %s is no amount\n", how_much);
    return false;
  }
  if (!validate(payer, pin)) return false;
  ledger_post(TEXT(payer), TEXT(payee), cents, TEXT(pin), &result);
  if (result.failed) return explain(&result.error, payee);
  receipt *made = &result.receipt;
  printf("receipt %" PRIu32 ": %.*s paid %.*s %s, and has %s left\n", made->number, SHOW(made->payer),
         SHOW(made->payee), amount(made->cents, paid), amount(made->balance, left));
  notify_notify(made->number, PASS(made->payer), PASS(made->payee), made->cents, made->balance, &told);
  if (told.failed) fprintf(stderr, "app: %s was not told: %.*s\n", payee, SHOW(told.error));
  return true;
}

static bool tell_balance(const char *user, const char *pin) {
  balanced result;
  char buffer[32];
  ledger_balance(TEXT(user), TEXT(pin), &result);
  if (result.failed) return explain(&result.error, "");
  printf("%s has %s\n", user, amount(result.cents, buffer));
  return true;
}

static bool tell_users(void) {
  strings all;
  auth_users(&all);
  for (size_t i = 0; i < all.length; i++) printf("%.*s\n", SHOW(all.at[i]));
  return true;
}

int main(int argc, char **argv) {
  bool done;
  const char *command = argc > 1 ? argv[1] : "";
  if (argc == 6 && !strcmp(command, "pay")) done = pay(argv[2], argv[3], argv[4], argv[5]);
  else if (argc == 4 && !strcmp(command, "balance")) done = tell_balance(argv[2], argv[3]);
  else if (argc == 2 && !strcmp(command, "users")) done = tell_users();
  else {
    fputs("usage: app pay PAYER PAYEE AMOUNT PIN | balance USER PIN | users\n", stderr);
    return 1;
  }
  return fflush(stdout) || !done;
}
