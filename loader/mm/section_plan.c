/*
 * Which pages of an image come from where (facts 1.1, 1.2, 1.6).
 *
 * Headers, then the PE sections in the order of the table. Where SectionAlignment is larger than a
 * page, the rest of a section's unit belongs to no extent and stays reserved. pe/rules.h has
 * refused overlapping or descending PE sections already; this file checks again because everything
 * behind it maps memory by these numbers.
 */
#include "loader/mm/section_plan.h"

#include <stdlib.h>

#include "loader/mm/pages.h"
#include "loader/mm/protect.h"

/* What the object may hold of the file: as many of its bytes, and this much in any case. */
#define COPIES_PER_BYTE 64u
#define MAX_COPIES      (256u << 20)

#define SHARED_WRITE (IMAGE_SCN_MEM_SHARED | IMAGE_SCN_MEM_WRITE)

static void add(struct mm_plan *plan, struct mm_plan_piece piece)
{
    if (piece.extent.size != 0)
        plan->pieces[plan->count++] = piece;
}

/* A low-alignment image is its file, in one writable and executable piece (facts 1.2). */
static void plan_flat(const struct pe_image *image, struct mm_plan *plan)
{
    uint64_t size = image->bytes.size;

    add(plan, (struct mm_plan_piece){.extent = {.size = plan->image_size,
                                                .source = MM_SOURCE_OBJECT,
                                                .protect = PAGE_EXECUTE_WRITECOPY,
                                                .pe_section = -1},
                                     .data_size = size < plan->image_size ? (uint32_t)size
                                                                          : plan->image_size});
}

static nt_status plan_headers(const struct pe_image *image, struct mm_plan *plan, uint64_t *end,
                              struct pe_error *err)
{
    uint32_t shown = pe_headers_shown(image);
    uint64_t size = shown > image->h.size_of_headers ? shown : image->h.size_of_headers;

    *end = mm_round_up(size, MM_PAGE);
    if (*end > plan->image_size)
        return pe_fail_rule(err, STATUS_INVALID_IMAGE_FORMAT, "opt.size_of_headers",
                            "SizeOfHeaders 0x%x exceeds SizeOfImage", image->h.size_of_headers);
    add(plan, (struct mm_plan_piece){.extent = {.size = (uint32_t)*end,
                                                .source = MM_SOURCE_OBJECT,
                                                .protect = PAGE_READONLY,
                                                .pe_section = -1},
                                     .data_size = shown});
    return STATUS_SUCCESS;
}

/*
 * Bytes of the PE section, in whole pages, that the file itself can show. A last, partial page
 * counts when the file ends in it, since the kernel gives zeroes behind the end.
 */
static uint32_t pages_in_file(const struct pe_image *image, const struct pe_section *s)
{
    uint64_t size = s->file_size, end = (uint64_t)s->file_offset + size;

    if (s->file_offset % MM_PAGE != 0 || end > image->bytes.size)
        return 0;
    size = end == image->bytes.size ? mm_round_up(size, MM_PAGE) : mm_round_down(size, MM_PAGE);
    return (uint32_t)(size < s->mapped_size ? size : s->mapped_size);
}

static void plan_private(const struct pe_image *image, const struct pe_section *s, int32_t index,
                         bool map_file, struct mm_plan *plan)
{
    uint32_t from_file = map_file ? pages_in_file(image, s) : 0;
    uint32_t rva = s->virtual_address + from_file;
    struct mm_extent extent = {.rva = s->virtual_address,
                               .size = from_file,
                               .source = MM_SOURCE_FILE,
                               .offset = s->file_offset,
                               .protect = mm_protect_of_section(s->characteristics),
                               .pe_section = index};

    add(plan, (struct mm_plan_piece){.extent = extent});
    plan->uses_file |= from_file != 0;
    extent.rva = rva;
    extent.size = s->mapped_size - from_file;
    extent.source = MM_SOURCE_OBJECT;
    extent.offset = rva;
    add(plan, (struct mm_plan_piece){.extent = extent,
                                     .data_offset = (uint64_t)s->file_offset + from_file,
                                     .data_size =
                                         s->file_size > from_file ? s->file_size - from_file : 0});
}

static void plan_shared(const struct pe_section *s, int32_t index, struct mm_plan *plan)
{
    add(plan,
        (struct mm_plan_piece){.extent = {.rva = s->virtual_address,
                                          .size = s->mapped_size,
                                          .source = MM_SOURCE_SHARED,
                                          .offset = plan->shared_size,
                                          .protect = mm_protect_of_section(s->characteristics),
                                          .pe_section = index},
                               .data_offset = s->file_offset,
                               .data_size = s->file_size});
    plan->shared_size += s->mapped_size;
}

static nt_status plan_section(const struct pe_image *image, uint32_t index, bool map_file,
                              uint64_t *end, struct mm_plan *plan, struct pe_error *err)
{
    struct pe_section s;
    uint32_t needed;

    if (!pe_section_at(image, index, &s))
        return pe_fail_rule(err, STATUS_INVALID_IMAGE_FORMAT, "sections.table.file",
                            "the section table is cut short at PE section %u", index);
    needed = s.virtual_size != 0 ? s.virtual_size : s.size_of_raw_data;
    if (s.virtual_address % MM_PAGE != 0 || s.virtual_address < *end)
        return pe_fail_rule(err, STATUS_INVALID_IMAGE_FORMAT, "sections.contiguous",
                            "PE section %u (%s) begins at 0x%x, before 0x%llx or inside a page",
                            index, s.name, s.virtual_address, (unsigned long long)*end);
    if (s.virtual_address > plan->image_size || needed > s.mapped_size ||
        s.mapped_size > plan->image_size - s.virtual_address)
        return pe_fail_rule(err, STATUS_INVALID_IMAGE_FORMAT, "sections.fit",
                            "PE section %u (%s) of 0x%x bytes at 0x%x leaves SizeOfImage", index,
                            s.name, needed, s.virtual_address);
    if ((s.characteristics & SHARED_WRITE) == SHARED_WRITE)
        plan_shared(&s, (int32_t)index, plan);
    else
        plan_private(image, &s, (int32_t)index, map_file, plan);
    *end = (uint64_t)s.virtual_address + s.mapped_size;
    return STATUS_SUCCESS;
}

/*
 * Windows maps raw data that many PE sections share from one place; here each section's pages are a
 * copy. What no tool makes of a file may not fill the memory of the machine.
 */
static nt_status check_copies(const struct pe_image *image, const struct mm_plan *plan,
                              struct pe_error *err)
{
    const uint64_t most = image->file_size > MAX_COPIES / COPIES_PER_BYTE
                              ? image->file_size * COPIES_PER_BYTE
                              : MAX_COPIES;
    uint64_t copies = 0;

    for (uint32_t i = 0; i < plan->count; i++)
        copies += plan->pieces[i].data_size;
    if (copies <= most)
        return STATUS_SUCCESS;
    return pe_fail(err, STATUS_COMMITMENT_LIMIT,
                   "%u PE sections share the %llu bytes of the file so that they would take %llu "
                   "MiB of memory",
                   image->h.number_of_sections, (unsigned long long)image->file_size,
                   (unsigned long long)(copies >> 20));
}

nt_status mm_plan_make(const struct pe_image *image, bool map_file, struct mm_plan *out,
                       struct pe_error *err)
{
    struct mm_plan plan = {.image_size = pe_mapped_size(image)};
    nt_status status;
    uint64_t end;

    if (plan.image_size == 0)
        return pe_fail_rule(err, STATUS_INVALID_IMAGE_FORMAT, "opt.size_of_image",
                            "SizeOfImage 0x%x is not usable", image->h.size_of_image);
    /* Headers, and at most a file part and a tail for each PE section. */
    plan.pieces = calloc(pe_is_flat(image) ? 1 : 1 + 2 * (size_t)image->h.number_of_sections,
                         sizeof(*plan.pieces));
    if (plan.pieces == NULL)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for the plan of the image");
    if (pe_is_flat(image)) {
        plan_flat(image, &plan);
        status = STATUS_SUCCESS;
    } else {
        status = plan_headers(image, &plan, &end, err);
        for (uint32_t i = 0; nt_ok(status) && i < image->h.number_of_sections; i++)
            status = plan_section(image, i, map_file, &end, &plan, err);
    }
    if (nt_ok(status))
        status = check_copies(image, &plan, err);
    if (nt_ok(status))
        *out = plan;
    else
        mm_plan_free(&plan);
    return status;
}

void mm_plan_free(struct mm_plan *plan)
{
    free(plan->pieces);
    *plan = (struct mm_plan){0};
}
