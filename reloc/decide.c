/*
 * Whether an image that is not at its preferred base gets fixups at all (facts 2.3).
 *
 * In Windows's order: nothing to do without a delta; an image mapped flat is not relocated;
 * stripped relocations refuse; an image that says it has relocations but whose directory is empty
 * is accepted as it is.
 */
#include "reloc/walk.h"

#include <stdio.h>
#include <string.h>

#include "pe/rules.h"

static nt_status settle(struct reloc_plan *plan, enum reloc_outcome outcome, const char *reason)
{
    plan->outcome = outcome;
    plan->status = STATUS_SUCCESS;
    plan->reason = reason;
    return STATUS_SUCCESS;
}

nt_status reloc_refuse(const struct pe_image *image, struct reloc_plan *plan, const char *rule,
                       const char *reason, struct pe_error *err)
{
    const struct pe_rule *row = pe_rule_find(image, rule);
    char found[256];
    memset(plan->fixups, 0, sizeof plan->fixups);
    plan->fixups_total = plan->pages_dirtied = 0;
    plan->outcome = RELOC_REFUSED;
    plan->status = row ? row->status : (nt_status)STATUS_CONFLICTING_ADDRESSES;
    plan->reason = reason;
    snprintf(
        found, sizeof found, "the image cannot move from its preferred base 0x%llx to 0x%llx: %s",
        (unsigned long long)plan->preferred_base, (unsigned long long)plan->actual_base, reason);
    return row ? pe_rule_refuse(err, row, found)
               : pe_fail_rule(err, plan->status, rule, "%s", found);
}

/* HIGHLOW fields and every pointer of a PE32 image hold 32 bits. */
static bool fits_pointer_size(const struct pe_image *image, uint64_t base)
{
    const uint64_t four_gib = 0x100000000u;
    uint32_t size = pe_mapped_size(image);
    return image->h.pe32_plus || (base < four_gib && size <= four_gib - base);
}

/*
 * Images of low alignment are not relocated by whom maps them. But XP's and 7's start of a process
 * relocates a program that has to move by hand, and looks at no alignment there (behaviours,
 * Relocations: recorded on both).
 */
static bool is_fixed(const struct pe_image *image)
{
    bool started = image->windows != PE_WINDOWS_10 && pe_must_move(image) &&
                   !(image->h.characteristics & IMAGE_FILE_DLL);
    return pe_is_flat(image) && !started;
}

nt_status reloc_decide(const struct pe_image *image, int64_t delta, struct reloc_plan *plan,
                       struct pe_error *err)
{
    const struct pe_headers *h = &image->h;
    const struct pe_directory *dir = &h->directory[IMAGE_DIRECTORY_ENTRY_BASERELOC];

    memset(plan, 0, sizeof *plan);
    plan->preferred_base = h->image_base;
    plan->actual_base = h->image_base + (uint64_t)delta;
    plan->delta = delta;

    if (delta == 0)
        return settle(plan, RELOC_NOT_NEEDED, "the image is at its preferred base");
    if (is_fixed(image))
        return settle(plan, RELOC_NOT_NEEDED,
                      "the image's section alignment is below a page, so it is mapped as one flat "
                      "block, and Windows does not relocate such an image");
    bool has_fixups = dir->rva != 0 && dir->size != 0;
    if ((h->characteristics & IMAGE_FILE_RELOCS_STRIPPED) && !(has_fixups && pe_must_move(image)))
        return reloc_refuse(image, plan, "reloc.stripped", "the relocations are stripped", err);
    if (!fits_pointer_size(image, plan->actual_base))
        return reloc_refuse(image, plan, "reloc.address_space", "a PE32 image must lie below 4 GiB",
                            err);
    if (dir->size == 0)
        return settle(plan, RELOC_APPLIED,
                      "the image has no fixups and does not say that they are stripped, so it runs "
                      "unchanged at its new base");
    if (dir->rva == 0)
        return reloc_refuse(image, plan, "reloc.stripped",
                            "the relocation directory has a size but no address", err);
    return settle(plan, RELOC_APPLIED, "the image is not at its preferred base");
}
