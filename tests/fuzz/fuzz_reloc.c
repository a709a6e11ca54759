/*
 * Fuzz target: base relocations of any bytes that open as a PE image. A plan says the same for the
 * file and for the mapped image; applying does what the plan counted; a delta and its negative
 * restore the bytes. (The last two hold when no fixup lies over another or over the fixups
 * themselves.)
 */
#include <stdlib.h>
#include <string.h>

#include "pe/rules.h"
#include "reloc/audit.h"
#include "tests/fuzz/bounds.h"
#include "tests/fuzz/fuzz.h"

#define MAX_IMAGE (16u << 20)

struct subject {
    struct pe_image file, image; /* the same bytes in both layouts */
    uint8_t *bytes, *original;
    uint32_t size;
    int64_t delta;
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool map_image(struct subject *s)
{
    s->size = pe_mapped_size(&s->file);
    if (s->size == 0 || s->size > MAX_IMAGE)
        return false;
    s->bytes = malloc(s->size);
    s->original = malloc(s->size);
    if (!s->bytes || !s->original || !pe_rva_copy(&s->file, 0, s->bytes, s->size))
        return false;
    memcpy(s->original, s->bytes, s->size);
    struct pe_span span = {s->bytes, s->size};
    /* A PE section may lie over the headers. */
    if (!nt_ok(pe_open(span, PE_LAYOUT_MAPPED, &s->image, NULL)) ||
        pe_mapped_size(&s->image) != s->size)
        return false;
    s->image.windows = s->file.windows;
    return true;
}

/* No fixup writes where another does, or to the directory; all can be undone. */
static bool is_simple(const struct subject *s)
{
    uint8_t *taken = calloc(1, s->size);
    struct pe_fixup_iter it;
    struct pe_fixup fixup;
    bool simple = taken && pe_fixups(&s->image, &it);
    if (simple)
        memset(taken + it.dir.rva, 1,
               it.dir.size < s->size - it.dir.rva ? it.dir.size : s->size - it.dir.rva);
    while (simple && pe_fixup_next(&it, &fixup) > 0) {
        uint8_t width = reloc_type_width(&s->image, fixup.type);
        if (width == 0xff || fixup.rva > s->size || width > s->size - fixup.rva)
            break; /* refused here, before anything behind it matters */
        simple = simple && fixup.parameter < 0x8000; /* see add_highadj_unsigned() */
        for (uint8_t i = 0; i < width; i++)
            simple = simple && !taken[fixup.rva + i]++;
    }
    free(taken);
    return simple;
}

static void check_counts(const struct reloc_plan *a, const struct reloc_plan *b)
{
    must(a->outcome == b->outcome && a->status == b->status);
    must(memcmp(a->fixups, b->fixups, sizeof a->fixups) == 0);
    must(a->fixups_total == b->fixups_total && a->pages_dirtied == b->pages_dirtied);
}

static void check_plans(const struct subject *s, struct reloc_plan *plan)
{
    uint32_t page_count = s->size / PE_PAGE_SIZE, dirtied = 0;
    uint32_t *counts = calloc(page_count, sizeof *counts);
    uint64_t to = s->image.h.image_base + (uint64_t)s->delta;
    struct reloc_plan of_file;

    reloc_plan(&s->image, to, counts, counts ? page_count : 0, plan, NULL);
    for (uint32_t i = 0; counts && i < page_count; i++)
        dirtied += counts[i] != 0;
    must(!counts || !nt_ok(plan->status) || dirtied == plan->pages_dirtied);
    free(counts);
    /* A file's directory may not be larger than the file, nor its headers end early. */
    if (nt_ok(reloc_plan(&s->file, to, NULL, 0, &of_file, NULL)) &&
        memcmp(&s->file.h, &s->image.h, sizeof s->file.h) == 0)
        check_counts(&of_file, plan);
}

static void audit_some(const struct subject *s)
{
    struct pe_fixup_iter it;
    struct pe_fixup fixup;
    struct reloc_auditor auditor;
    struct reloc_audit audit;
    reloc_auditor_init(&auditor, &s->image);
    if (!pe_fixups(&s->image, &it))
        return;
    for (int i = 0; i < 8 && pe_fixup_next(&it, &fixup) > 0; i++)
        if (reloc_auditor_find(&auditor, &fixup, s->delta, &audit))
            must(fixup.rva - audit.insn_rva < audit.insn_len);
}

static void check(struct subject *s)
{
    struct reloc_plan plan, there, back;
    bool simple = is_simple(s);
    /* A PE32 image stays below 4 GiB. */
    s->delta = s->image.h.image_base >= 0x80000000u ? -0x5edd0000 : 0x01230000;
    check_plans(s, &plan);
    audit_some(s);
    must(memcmp(s->bytes, s->original, s->size) == 0);

    reloc_apply(&s->image, s->delta, NULL, NULL, &there, NULL);
    if (simple)
        check_counts(&plan, &there);
    /* It goes back from where it is now, if it could as well have stayed at either place. */
    bool had_to = pe_must_move(&s->image);
    s->image.h.image_base += (uint64_t)s->delta;
    if (!simple || !nt_ok(there.status) || had_to || pe_must_move(&s->image))
        return;
    reloc_apply(&s->image, -s->delta, NULL, NULL, &back, NULL);
    check_counts(&there, &back);
    must(memcmp(s->bytes, s->original, s->size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bounds bounds = fuzz_bounds_begin();
    struct subject s = {0};
    uint8_t *copy = malloc(size ? size : 1);
    if (copy && size)
        memcpy(copy, data, size);
    if (copy && nt_ok(pe_open((struct pe_span){copy, size}, PE_LAYOUT_FILE, &s.file, NULL))) {
        s.file.windows = fuzz_windows(data, size);
        if (map_image(&s))
            check(&s);
    }
    free(s.original);
    free(s.bytes);
    free(copy);
    fuzz_bounds_end(&bounds, size);
    return 0;
}
