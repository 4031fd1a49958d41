/* What each component in C has of its own: memory for what it is passed, and texts. */

#include "bank.h"

#include <stdlib.h>
#include <string.h>

void *checked(void *memory) {
  if (!memory) __builtin_trap();
  return memory;
}

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t alignment,
                                                                size_t size) {
  (void)old_size;
  return size ? checked(realloc(old, size)) : (void *)alignment;
}

string string_of(const char *text) {
  return (string){checked(strdup(text)), strlen(text)};
}

void drop(string text) {
  if (text.length) free(text.at);
}
