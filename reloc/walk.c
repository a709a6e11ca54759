/*
 * Steps through the fixups of an image: checks each, counts it, and applies it when asked to.
 *
 * Blocks are read from the image as they are reached, because Windows does so and a block may patch
 * the next (facts: behaviours, Relocations). An image that is larger than the window of pages.h is
 * walked once more for each further window that has fixups. (Applying an image that is both larger
 * than a window and rewrites fixups that it used already may count pages of later windows by what
 * the fixups became; nothing else depends on the later walks.)
 */
#include "reloc/walk.h"

#include <stdio.h>
#include <string.h>

#include "pe/rules.h"
#include "reloc/ahead.h"
#include "reloc/pages.h"
#include "reloc/run.h"

/*
 * More entries than these are an attack: what the file has room for, in two bytes each, or a
 * million, since the end of a directory may be zero fill; a small file could claim billions there.
 * Where the file's size is not known, 2^24: some sixteen times what the largest browser DLLs have.
 */
#define MIN_ENTRIES (1u << 20)
#define MAX_ENTRIES (1u << 24)

static bool overlaps(uint32_t rva, uint32_t len, uint32_t other, uint32_t other_len)
{
    return rva < (uint64_t)other + other_len && other < (uint64_t)rva + len;
}

/*
 * Rule reloc.headers: on XP a fixup may change anything, on 7 and 10 neither MZ nor e_lfanew nor
 * the PE signature. A recorded run on 7 does change e_lfanew, of an image with low alignment
 * (behaviours, Relocations).
 */
static bool touches_signatures(const struct pe_image *image, uint32_t rva, uint32_t len)
{
    bool fixed_lfanew = image->windows == PE_WINDOWS_10 || !pe_is_flat(image);
    if (image->windows == PE_WINDOWS_XP)
        return false;
    return overlaps(rva, len, 0, 2) || overlaps(rva, len, image->h.e_lfanew, 4) ||
           (fixed_lfanew && overlaps(rva, len, 0x3c, 4));
}

static nt_status refuse_fixup(const struct pe_image *image, const struct pe_fixup *fixup,
                              const char *rule, const char *reason, struct reloc_plan *plan,
                              struct pe_error *err)
{
    char found[256];
    snprintf(found, sizeof found,
             "the image cannot move from its preferred base 0x%llx to 0x%llx: %s (fixup of type "
             "%s at RVA 0x%x, machine %s)",
             (unsigned long long)plan->preferred_base, (unsigned long long)plan->actual_base,
             reason, reloc_type_name(image->h.machine, fixup->type), fixup->rva,
             pe_machine_name(image->h.machine));
    pe_rule_refuse(err, pe_rule_find(image, rule), found);
    return reloc_refuse(image, plan, rule, reason, NULL);
}

static nt_status check_fixup(const struct pe_image *image, const struct pe_fixup *fixup,
                             const struct reloc_type *type, struct reloc_plan *plan,
                             struct pe_error *err)
{
    if (!type)
        return refuse_fixup(image, fixup, "reloc.types", "a fixup has a type that is not allowed",
                            plan, err);
    if (type->width == 0)
        return STATUS_SUCCESS;
    uint32_t limit = pe_mapped_size(image);
    if (fixup->rva > limit || type->width > limit - fixup->rva)
        return refuse_fixup(image, fixup, "reloc.inside", "a fixup lies outside the image", plan,
                            err);
    if (touches_signatures(image, fixup->rva, type->width))
        return refuse_fixup(image, fixup, "reloc.headers",
                            "a fixup would change a signature in the headers", plan, err);
    return STATUS_SUCCESS;
}

static bool may_write(const struct reloc_walk *walk, uint32_t rva, uint32_t len)
{
    return len != 0 &&
           (!walk->memory.may_write || walk->memory.may_write(walk->memory.user, rva, len));
}

/* The end of the page that holds the byte before `rva`. */
static uint32_t page_end(uint32_t rva)
{
    return (rva + PE_PAGE_SIZE - 1) & ~(PE_PAGE_SIZE - 1);
}

/* `fixups` of them write to the page. */
static void mark_page(uint32_t page, uint32_t fixups, struct reloc_pages *window,
                      const struct reloc_walk *counted)
{
    reloc_pages_mark(window, page);
    if (counted && counted->page_counts && page < counted->page_count)
        counted->page_counts[page] += fixups;
}

static void mark_pages(const struct pe_fixup *fixup, uint8_t width, struct reloc_pages *window,
                       const struct reloc_walk *counted)
{
    uint32_t last = (fixup->rva + width - 1) / PE_PAGE_SIZE;
    for (uint32_t page = fixup->rva / PE_PAGE_SIZE; page <= last; page++)
        mark_page(page, 1, window, counted);
}

/*
 * XP counts the distance in pointers, which have 32 bits in a 32-bit program; 7 and 10 in 64 bits.
 * Fields that are wider than a pointer show the difference (behaviours, Relocations: type 9).
 */
static int64_t delta_of(const struct pe_image *image, const struct reloc_plan *plan)
{
    bool narrow = image->windows == PE_WINDOWS_XP && !image->h.pe32_plus;
    return narrow ? (int32_t)(uint32_t)(uint64_t)plan->delta : plan->delta;
}

/* What the first pass knows: it checks, counts and applies. */
struct pass {
    const struct reloc_walk *walk;
    const struct reloc_type *types[RELOC_TYPE_COUNT];
    struct pe_fixup_iter it;
    struct reloc_pages *window;
    struct reloc_ahead ahead;
    uint64_t entries, most;
};

static nt_status use_fixup(struct pass *pass, const struct pe_fixup *fixup,
                           const struct reloc_type *type, struct reloc_plan *plan,
                           struct pe_error *err)
{
    const struct reloc_walk *walk = pass->walk;
    nt_status status = check_fixup(walk->image, fixup, type, plan, err);
    if (!nt_ok(status))
        return status;
    plan->fixups[fixup->type]++;
    plan->fixups_total += type->width != 0;
    if (!may_write(walk, fixup->rva, type->width))
        return STATUS_SUCCESS;
    mark_pages(fixup, type->width, pass->window, walk);
    reloc_ahead_wrote(&pass->ahead, page_end(fixup->rva + type->width));
    struct pe_span field;
    if (walk->write && !pe_sub(walk->image->bytes, fixup->rva, type->width, &field))
        return reloc_refuse(walk->image, plan, "reloc.inside",
                            "a fixup lies beyond the bytes that are mapped", err);
    if (walk->write)
        type->apply(field, delta_of(walk->image, plan), fixup->parameter);
    return STATUS_SUCCESS;
}

/* The type of a fixup, NULL = refused. The fixup's RVA becomes the one where the field begins. */
static const struct reloc_type *settle_type(const struct reloc_type *const *types,
                                            struct pe_fixup *fixup)
{
    const struct reloc_type *type = types[fixup->type % RELOC_TYPE_COUNT];
    if (type && type->alignment)
        fixup->rva &= ~(type->alignment - 1u);
    return type;
}

static uint64_t max_entries(const struct pe_image *image)
{
    uint64_t room = image->file_size ? image->file_size / 2 : MAX_ENTRIES;
    return room > MIN_ENTRIES ? room : MIN_ENTRIES;
}

/*
 * The page of a block whose fixups need no checks one by one, as far as they lie inside the page
 * and are of the types that runs are made of.
 */
static bool is_plain(const struct pass *pass, struct pe_span *page)
{
    const struct reloc_walk *walk = pass->walk;
    uint32_t rva = pass->it.page_rva, limit = pe_mapped_size(walk->image);
    *page = (struct pe_span){NULL, 0};
    return rva % PE_PAGE_SIZE == 0 && rva < limit && limit - rva >= PE_PAGE_SIZE &&
           !touches_signatures(walk->image, rva, PE_PAGE_SIZE) &&
           may_write(walk, rva, PE_PAGE_SIZE) &&
           (!walk->write || pe_sub(walk->image->bytes, rva, PE_PAGE_SIZE, page));
}

/* Uses a run of the block's fixups at once; false when the next fixup does not begin one. */
static bool use_run(struct pass *pass, struct pe_span page, struct reloc_plan *plan)
{
    struct pe_span entries;
    uint8_t type;
    if (!pe_fixup_entries(&pass->it, &entries))
        return false;
    uint32_t n = reloc_run(entries, (uint8_t *)(uintptr_t)page.data,
                           (uint64_t)delta_of(pass->walk->image, plan), &type);
    if (n == 0)
        return false;
    pass->it.entry += n * (uint32_t)sizeof(uint16_t);
    pass->entries += n;
    plan->fixups[type] += n;
    if (type == RELOC_TYPE_ABSOLUTE)
        return true;
    plan->fixups_total += n;
    mark_page(pass->it.page_rva / PE_PAGE_SIZE, n, pass->window, pass->walk);
    reloc_ahead_wrote(&pass->ahead, pass->it.page_rva + PE_PAGE_SIZE);
    return true;
}

static nt_status use_block(struct pass *pass, struct reloc_plan *plan, struct pe_error *err)
{
    const struct pe_image *image = pass->walk->image;
    struct pe_span page;
    bool plain = is_plain(pass, &page);
    if (plain && pass->walk->memory.prepare)
        reloc_ahead_block(&pass->ahead, pass->walk, &pass->it);
    while (pass->it.entry != pass->it.block_end) {
        struct pe_fixup fixup;
        nt_status status = STATUS_SUCCESS;
        if (!plain || !use_run(pass, page, plan)) {
            if (pe_fixup_next(&pass->it, &fixup) < 0)
                return reloc_refuse(image, plan, "reloc.blocks", pass->it.what, err);
            pass->entries++;
            const struct reloc_type *type = settle_type(pass->types, &fixup);
            if (pass->entries <= pass->most)
                status = use_fixup(pass, &fixup, type, plan, err);
        }
        if (pass->entries > pass->most)
            return reloc_refuse(image, plan, "reloc.blocks",
                                "there are more fixups than in any real image", err);
        if (!nt_ok(status))
            return status;
    }
    return STATUS_SUCCESS;
}

static nt_status first_pass(const struct reloc_walk *walk, struct reloc_pages *window,
                            struct reloc_plan *plan, struct pe_error *err)
{
    struct pass pass = {.walk = walk, .window = window, .most = max_entries(walk->image)};
    int more;

    reloc_types_of(walk->image, pass.types);
    if (!pe_fixups(walk->image, &pass.it))
        return reloc_refuse(walk->image, plan, "reloc.inside",
                            "the relocation directory lies outside the image", err);
    while ((more = pe_fixup_block(&pass.it)) > 0) {
        nt_status status = use_block(&pass, plan, err);
        if (!nt_ok(status))
            return status;
    }
    return more == 0 ? STATUS_SUCCESS
                     : reloc_refuse(walk->image, plan, "reloc.blocks", pass.it.what, err);
}

/* Marks the pages of one further window; the fixups have been checked and applied. */
static void later_pass(const struct reloc_walk *walk, struct reloc_pages *window)
{
    const struct reloc_type *types[RELOC_TYPE_COUNT];
    struct pe_fixup_iter it;
    struct pe_fixup fixup;

    reloc_types_of(walk->image, types);
    if (!pe_fixups(walk->image, &it))
        return;
    uint64_t most = max_entries(walk->image);
    for (uint64_t n = 0; n < most && pe_fixup_next(&it, &fixup) > 0; n++) {
        const struct reloc_type *type = settle_type(types, &fixup);
        if (type && may_write(walk, fixup.rva, type->width))
            mark_pages(&fixup, type->width, window, NULL);
    }
}

nt_status reloc_walk(const struct reloc_walk *walk, struct reloc_plan *plan, struct pe_error *err)
{
    struct reloc_pages window = {.distinct = 0};
    if (walk->image->h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC].size == 0)
        return STATUS_SUCCESS;
    reloc_pages_start(&window, 0);
    nt_status status = first_pass(walk, &window, plan, err);
    if (!nt_ok(status))
        return status;
    while (window.beyond != RELOC_NO_PAGE) {
        reloc_pages_start(&window, window.beyond);
        later_pass(walk, &window);
    }
    plan->pages_dirtied = window.distinct;
    return STATUS_SUCCESS;
}
