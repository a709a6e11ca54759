/*
 * Fuzz target: mapping any bytes as an image of one of the Windows versions. Extents are disjoint
 * pages inside the image; a view shows at every extent what the PE parser reads from the file
 * there; regions follow each other without a gap; two views of an object do not see each other's
 * writes; nothing stays mapped.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/mm/view.h"
#include "pe/exports.h"
#include "reloc/reloc.h"
#include "tests/fuzz/bounds.h"
#include "tests/fuzz/fuzz.h"

#define PAGE      0x1000u
#define MAX_WALK  (64u << 20) /* larger images are mapped but not walked page by page */
#define MAX_NAMES 64u

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_extents(const struct mm_section *section)
{
    uint32_t count, size = mm_section_size(section);
    const struct mm_extent *extents = mm_section_extents(section, &count);
    uint64_t end = 0, shared = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct mm_extent *e = &extents[i];

        must(e->rva % PAGE == 0 && e->size % PAGE == 0 && e->offset % PAGE == 0 && e->size != 0);
        must(e->rva >= end && e->rva < size && e->size <= size - e->rva);
        must(mm_protect_valid(e->protect));
        end = (uint64_t)e->rva + e->size;
        if (e->source == MM_SOURCE_SHARED) {
            must(e->offset == shared);
            shared += e->size;
        }
    }
    must(shared == mm_section_shared_size(section));
}

/* The first and the last page of each extent against pe/'s reading of the file. */
static void check_content(const struct pe_image *file, const struct mm_view *view)
{
    uint32_t count;
    const struct mm_extent *extents = mm_section_extents(mm_view_section(view), &count);
    const uint8_t *mapped = (const uint8_t *)(uintptr_t)mm_view_base(view);
    uint8_t expected[PAGE];

    for (uint32_t i = 0; i < count; i++) {
        uint32_t first = extents[i].rva, last = first + extents[i].size - PAGE;

        must(pe_rva_copy(file, first, expected, PAGE));
        must(memcmp(mapped + first, expected, PAGE) == 0);
        must(pe_rva_copy(file, last, expected, PAGE));
        must(memcmp(mapped + last, expected, PAGE) == 0);
    }
}

static void check_regions(const struct mm_view *view)
{
    uint64_t end = mm_view_base(view);
    struct mm_region region, at;
    uint32_t cursor = 0;

    if (mm_view_size(view) > MAX_WALK)
        return;
    while (mm_view_next_region(view, &cursor, &region)) {
        must(region.base == end && region.size != 0 && region.size % PAGE == 0);
        must(region.pages_private <= region.size / PAGE);
        must(nt_ok(mm_query(region.base, &at)));
        must(at.base == region.base && at.size >= region.size);
        must(at.protect == region.protect && at.allocation_base == mm_view_base(view));
        end += region.size;
    }
    must(end == mm_view_base(view) + mm_view_size(view));
}

/* What the loader goes on reading after the pages have their protections. */
static void read_sealed(const struct mm_view *view)
{
    const struct pe_image *image = mm_view_image(view);
    struct pe_exports exports;
    struct pe_export export;

    if (pe_exports_open(image, &exports))
        for (uint32_t i = 0; i < exports.name_count && i < MAX_NAMES; i++)
            pe_export_by_name_index(&exports, i, &export);
    for (int i = 0; i < PE_DIRECTORY_COUNT; i++) {
        uint32_t value;

        pe_rva_u32(image, image->h.directory[i].rva, &value);
    }
}

static void relocate(struct mm_view *view, struct pe_error *err)
{
    const struct pe_image *image = mm_view_image(view);
    struct reloc_plan plan, done;
    nt_status status = reloc_plan(image, mm_view_base(view), NULL, 0, &plan, err);

    if (nt_ok(status) && plan.outcome == RELOC_APPLIED)
        reloc_apply(image, plan.delta, NULL, NULL, &done, err);
    mm_view_patch_image_base(view, err);
}

static void use(struct mm_section *section, const struct pe_image *file)
{
    struct mm_map_options options = {.shared_fd = -1, .below_2gib = !file->h.pe32_plus};
    struct mm_view *first = NULL, *second = NULL;
    struct pe_error err = {0};

    check_extents(section);
    if (nt_ok(mm_view_map(section, &options, &first, NULL, 0, &err)) &&
        nt_ok(mm_view_map(section, &options, &second, NULL, 0, &err))) {
        check_content(file, first);
        check_content(file, second);
        relocate(first, &err);
        check_content(file, second);
        if (nt_ok(mm_view_seal(first, &err))) {
            check_regions(first);
            read_sealed(first);
        }
    }
    mm_view_unmap(first);
    mm_view_unmap(second);
}

/* The same bytes as a file, where page-aligned PE sections are mapped from it. */
static void use_file(const struct pe_image *file)
{
    struct pe_span bytes = file->bytes;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    struct mm_section *section;

    if (fd < 0)
        return;
    if (write(fd, bytes.data, (size_t)bytes.size) == (ssize_t)bytes.size &&
        nt_ok(mm_section_create_image(fd, "fuzz", file->windows, &section, NULL))) {
        use(section, file);
        mm_section_unref(section);
    }
    close(fd);
}

static void map(struct pe_span bytes, enum pe_windows windows)
{
    struct mm_section *section;
    struct pe_error err = {0};
    struct pe_image file;

    if (!nt_ok(mm_section_create_image_from_memory(bytes.data, bytes.size, "fuzz", windows,
                                                   &section, &err))) {
        must(err.text[0] != '\0' && err.status != 0);
        return;
    }
    must(nt_ok(pe_open(bytes, PE_LAYOUT_FILE, &file, NULL)));
    file.windows = windows;
    use(section, &file);
    mm_section_unref(section);
    use_file(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bounds bounds = fuzz_bounds_begin();
    uint8_t *bytes = malloc(size ? size : 1);

    if (bytes == NULL)
        return 0;
    memcpy(bytes, data, size);
    map((struct pe_span){bytes, size}, fuzz_windows(data, size));
    free(bytes);
    fuzz_bounds_end(&bounds, size);
    return 0;
}
