/*
 * miner: a report generator that trusts its dependency.
 *
 * This file is innocent: it sums a year's figures and prints a table. The numbers are formatted by a vendored library,
 * vendor/fastfmt.c, which does what nobody asked for. Run under policies/miner.yaml: the report still comes out, and
 * the audit trail shows each attempt.
 */

#include <stdint.h>
#include <stdio.h>

#include "vendor/fastfmt.h"

static const struct {
  const char *month;
  int64_t income_cents, costs_cents;
} figures[] = {
    {"January", 4183050, 3920011},  {"February", 3977525, 3650490}, {"March", 5120300, 4011275},
    {"April", 4890000, 4102950},    {"May", 5344875, 4267300},      {"June", 6011240, 4433180},
    {"July", 5785065, 4390000},     {"August", 3120990, 3301245},   {"September", 5566600, 4280730},
    {"October", 6120875, 4511090},  {"November", 6402010, 4600500}, {"December", 7250435, 5120665},
};

static void print_row(const char *name, int64_t income, int64_t costs) {
  char income_text[FASTFMT_MAX], costs_text[FASTFMT_MAX], result_text[FASTFMT_MAX];
  printf("%-10s %12s %12s %12s\n", name, fastfmt_cents(income_text, income), fastfmt_cents(costs_text, costs),
         fastfmt_cents(result_text, income - costs));
}

int main(void) {
  int64_t income = 0, costs = 0;
  fastfmt_init();
  printf("%-10s %12s %12s %12s\n", "Month", "Income", "Costs", "Result");
  for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
    income += figures[i].income_cents;
    costs += figures[i].costs_cents;
    print_row(figures[i].month, figures[i].income_cents, figures[i].costs_cents);
  }
  print_row("Year", income, costs);
  return fflush(stdout) ? 1 : 0;
}
