/*
 * Words for a crash: which module an address lies in, and who called.
 *
 * Everything here is async-signal-safe: no lock, no allocation, no stdio. Modules are found in the
 * PEB's own list; another thread that loads or unloads at this very moment can make an answer
 * wrong.
 */
#ifndef KE_REPORT_H
#define KE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ke_text {
    char bytes[512];
    size_t length;
};

void ke_text_put(struct ke_text *text, const char *string);
void ke_text_hex(struct ke_text *text, uint64_t value);
void ke_text_number(struct ke_text *text, uint64_t value);                      /* decimal */
void ke_text_hex_padded(struct ke_text *text, uint64_t value, unsigned digits); /* without 0x */
/* The name of the module that an address lies in, and its base; false = none. */
bool ke_text_module(struct ke_text *text, uintptr_t address, uintptr_t *base);
/* "zlib1.dll+0x1234 (0x180001234)", or the bare address. */
void ke_text_address(struct ke_text *text, uintptr_t address);
/* Writes "peldr: " + text + newline to standard error. */
void ke_text_report(const struct ke_text *text);

bool ke_in_image(uintptr_t address);
/* Whether there is a call instruction in front of an address in an image. */
bool ke_is_return_address(uintptr_t address);
/* Copies what can be read of `size` bytes; returns how many those are (peek.c). */
size_t ke_peek(uintptr_t address, void *out, size_t size);
/*
 * The innermost return address into an image on this thread's stack from `stack_pointer` up, or 0:
 * a guess, since any word that looks like one counts.
 */
uintptr_t ke_find_caller(uintptr_t stack_pointer);

#endif
