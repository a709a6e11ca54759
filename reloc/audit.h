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
 * Where the last answer was found. Fixups asked for in ascending order cost one sweep over the
 * code.
 */
struct reloc_auditor {
    const struct pe_image *image;
    uint32_t position;             /* an instruction begins here */
    uint32_t next_start;           /* the next known start after it */
    uint32_t code_begin, code_end; /* of the PE section that holds it; both 0 = none yet */
};
void reloc_auditor_init(struct reloc_auditor *auditor, const struct pe_image *image);
bool reloc_auditor_find(struct reloc_auditor *auditor, const struct pe_fixup *fixup, int64_t delta,
                        struct reloc_audit *out);

/*
 * Finds the instruction that contains `fixup_rva` by decoding forward from the nearest known start:
 * an export, a runtime function, the entry point or the PE section's begin. False for a fixup in
 * data (also a jump table among code: the fixup must be an instruction's displacement or
 * immediate), on a machine that Zydis does not know, or when built without Zydis. `image` is not
 * relocated yet.
 */
bool reloc_audit_fixup(const struct pe_image *image, const struct pe_fixup *fixup, int64_t delta,
                       struct reloc_audit *out);

#endif
