/*
 * Which instruction does a fixup sit in? (Zydis)
 *
 * Used by `peldr relocs --code`: for each fixup in an executable PE section the instruction that
 * holds it, as text, before and after relocation.
 */
#ifndef RELOC_AUDIT_H
#define RELOC_AUDIT_H

#include "reloc/reloc.h"

struct reloc_audit {
    uint32_t fixup_rva;
    uint32_t insn_rva;
    uint8_t insn_len;
    char before[128], after[128]; /* Intel syntax */
};

/*
 * Finds the instruction that contains `fixup_rva` by decoding forward from the nearest known start:
 * an export, a runtime function, the entry point or the PE section's begin. False for a fixup in data,
 * on a machine that Zydis does not know, or when built without Zydis.
 */
bool reloc_audit_fixup(const struct pe_image *image, const struct pe_fixup *fixup, int64_t delta,
                       struct reloc_audit *out);

#endif
