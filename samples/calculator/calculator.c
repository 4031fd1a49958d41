/*
 * calculator: the typed exports of calculator.wit, written against the canonical ABI by hand: no libc, no WASI, so that
 * the component imports nothing at all.
 *
 * A list arrives as (address, length) in memory that the caller got from cabi_realloc. A result that does not fit one
 * core value is returned as the address of its bytes: the discriminant (0 is ok) first, the payload at its alignment.
 */

#include <stddef.h>
#include <stdint.h>

#define EXPORT(function) __attribute__((export_name("cyber:math/operations#" function)))
#define AFTER(function) __attribute__((export_name("cabi_post_cyber:math/operations#" function)))

/* result<f64, string>, result<u64, string>: payload at offset 8. */
typedef struct {
  uint8_t failed;
  union {
    double number;
    uint64_t whole;
    struct {
      const char *text;
      size_t length;
    } error;
  };
} number_result;

/* result<summary, string> */
typedef struct {
  uint8_t failed;
  union {
    struct {
      uint32_t count;
      double minimum, maximum, mean, deviation;
    } summary;
    struct {
      const char *text;
      size_t length;
    } error;
  };
} summary_result;

_Static_assert(offsetof(number_result, number) == 8 && sizeof(number_result) == 16, "the canonical ABI's layout");
_Static_assert(offsetof(summary_result, summary) == 8 && sizeof(summary_result) == 48, "the canonical ABI's layout");

#define ERROR(message) \
  { .failed = 1, .error = { .text = message, .length = sizeof message - 1 } }

/* ---- memory for arguments: taken in a row, given back all at once when the call is over ---- */

extern char __heap_base;
static size_t heap_used;

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t alignment,
                                                                size_t size) {
  size_t start = (size_t)&__heap_base;
  size_t address = (start + heap_used + alignment - 1) & ~(alignment - 1);
  size_t end;
  if (__builtin_add_overflow(address, size, &end)) __builtin_trap();
  size_t have = __builtin_wasm_memory_size(0) * 65536;
  if (end > have && __builtin_wasm_memory_grow(0, (end - have + 65535) / 65536) == SIZE_MAX) __builtin_trap();
  heap_used = end - start;
  for (size_t i = 0; i < old_size && i < size; i++) ((char *)address)[i] = ((char *)old)[i];
  return (void *)address;
}

/* ---- the operations ---- */

static number_result number;
static summary_result summary;

EXPORT("add") double operations_add(double a, double b) { return a + b; }
EXPORT("subtract") double operations_subtract(double a, double b) { return a - b; }
EXPORT("multiply") double operations_multiply(double a, double b) { return a * b; }

EXPORT("divide") number_result *operations_divide(double a, double b) {
  if (b == 0) number = (number_result)ERROR("division by zero");
  else number = (number_result){.number = a / b};
  return &number;
}

EXPORT("factorial") number_result *operations_factorial(int64_t n) {
  if (n < 0) {
    number = (number_result)ERROR("no factorial of a negative number");
  } else if (n > 20) {
    number = (number_result)ERROR("over 20 the factorial does not fit 64 bits");
  } else {
    uint64_t product = 1;
    for (int64_t factor = 2; factor <= n; factor++) product *= (uint64_t)factor;
    number = (number_result){.whole = product};
  }
  return &number;
}

static double mean(const double *values, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += values[i];
  return sum / count;
}

EXPORT("mean") number_result *operations_mean(const double *values, size_t count) {
  if (!count) number = (number_result)ERROR("no values");
  else number = (number_result){.number = mean(values, count)};
  return &number;
}

EXPORT("summarize") summary_result *operations_summarize(const double *values, size_t count) {
  if (!count) {
    summary = (summary_result)ERROR("no values");
    return &summary;
  }
  double minimum = values[0], maximum = values[0], average = mean(values, count), squares = 0;
  for (size_t i = 0; i < count; i++) {
    if (values[i] < minimum) minimum = values[i];
    if (values[i] > maximum) maximum = values[i];
    squares += (values[i] - average) * (values[i] - average);
  }
  summary = (summary_result){.summary = {.count = (uint32_t)count,
                                         .minimum = minimum,
                                         .maximum = maximum,
                                         .mean = average,
                                         .deviation = __builtin_sqrt(squares / count)}};
  return &summary;
}

/* The arguments are of no use once the result has been read. */
AFTER("mean") void after_mean(void *result) {
  (void)result;
  heap_used = 0;
}

AFTER("summarize") void after_summarize(void *result) {
  (void)result;
  heap_used = 0;
}
