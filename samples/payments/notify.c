/*
 * notify: tells the payee of a payment, in a file: a letter each, at the end of /outbox/letters.txt. It exports
 * bank:payments/notify (bank.wit). notify-python/notify.py does the same over SMTP.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bank.h"

#define OUTBOX "/outbox/letters.txt"

static bool write_letter(const receipt *about) {
  FILE *letters = fopen(OUTBOX, "a");
  if (!letters) return false;
  fprintf(letters, "To: %.*s\nSubject: Payment %" PRIu32 "\n\n%.*s paid you %" PRIu64 ".%02u.\n\n",
          (int)about->payee.length, about->payee.at, about->number, (int)about->payer.length, about->payer.at,
          about->cents / 100, (unsigned)(about->cents % 100));
  bool done = !ferror(letters);
  return !fclose(letters) && done;
}

EXPORT("notify", "notify")
outcome *notify_notify(uint32_t number, char *payer_at, size_t payer_length, char *payee_at, size_t payee_length,
                       uint64_t cents, uint64_t balance) {
  static outcome result;
  receipt about = {number, {payer_at, payer_length}, {payee_at, payee_length}, cents, balance};
  result.failed = !write_letter(&about);
  if (result.failed) result.error = string_of(strerror(errno));
  drop(about.payer);
  drop(about.payee);
  return &result;
}

AFTER("notify", "notify") void after_notify(const outcome *result) {
  if (result->failed) drop(result->error);
}
