/*
 * Which image an address lies in: the table that exception dispatch and fault handlers ask.
 *
 * Reading takes no lock and is async-signal-safe; an answer is one that held at some instant of the
 * call. Mirrors ntdll's inverted function table: what dispatch needs of the headers is read once,
 * when the module is listed, what the tables themselves hold only when an exception occurs
 * (behaviours, exceptions).
 */
#ifndef LDR_IMAGEMAP_H
#define LDR_IMAGEMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "pe/status.h"

struct ldr_module;

struct ldr_image_range {
    uintptr_t base, size;
    uint32_t functions_rva,
        functions_size;       /* exception directory (.pdata), inside the image or 0 */
    uintptr_t safe_seh;       /* address of SEHandlerTable, inside the image, or 0 */
    uint32_t safe_seh_count;  /* ... its entries, RVAs */
    uint16_t characteristics; /* DllCharacteristics */
    bool has_safe_seh;        /* the load config names a table, maybe an empty one */
    bool builtin;
    struct ldr_module *module; /* for who holds the loader lock: its record, perhaps in no list */
};

/* False: the address is in no image. `out` may be NULL. */
bool ldr_image_at(uintptr_t address, struct ldr_image_range *out);

/* Whether any image that is not peldr's own lacks one of these DllCharacteristics. */
bool ldr_image_any_without(uint16_t characteristics);

/* For the loader, under its lock. */
nt_status ldr_image_add(struct ldr_module *module, struct pe_error *err);
void ldr_image_remove(uintptr_t base);

#endif
