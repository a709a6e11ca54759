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
/* "zlib1.dll+0x1234 (0x180001234)", or the bare address. */
void ke_text_address(struct ke_text *text, uintptr_t address);
/* Writes "peldr: " + text + newline to standard error. */
void ke_text_report(const struct ke_text *text);

bool ke_in_image(uintptr_t address);
/*
 * The innermost return address into an image on this thread's stack from `stack_pointer` up, or 0:
 * a guess, since any word that looks like one counts.
 */
uintptr_t ke_find_caller(uintptr_t stack_pointer);

#endif
