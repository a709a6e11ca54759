/*
 * Mapping a view: reserve, overlay, record (view.h; facts 1.7, 2.1, 2.3).
 *
 * A transaction: everything is mapped inside one reservation, which goes as a whole on failure.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/mm/reserve.h"
#include "loader/mm/view_object.h"
#include "pe/rules.h"

/* Says why nobody can have the image at `base`; empty when it is possible (ldr.must_move). */
static void describe_unusable(const struct mm_section *section, uint64_t base, bool preferred,
                              char *out, size_t out_size)
{
    const char *why = NULL;

    if (base < MM_USER_BEGIN)
        why = "lies below the first usable address";
    else if (base % MM_GRANULARITY != 0)
        why = "is not a multiple of 64 KiB";
    else if (preferred && pe_must_move(&section->image))
        why = section->image.h.pe32_plus ? "lies outside of user space"
                                         : "lies in the kernel address range of 32-bit Windows";
    out[0] = '\0';
    if (why != NULL)
        snprintf(out, out_size, "0x%llx %s", (unsigned long long)base, why);
}

static nt_status reserve_elsewhere(const struct mm_section *section,
                                   const struct mm_map_options *options, uint64_t *base)
{
    const struct pe_headers *h = mm_section_headers(section);
    uint64_t limit = options->below_2gib ? 0x80000000u : options->below_4gib ? 0x100000000u : 0;

    if (options->limit != 0 && (limit == 0 || limit > options->limit))
        limit = options->limit;
    *base = PE_MOVED_BASE;
    if (options->base == 0 && pe_must_move(&section->image) &&
        !(h->characteristics & IMAGE_FILE_DLL) &&
        mm_reserve_at(*base, section->size) == STATUS_SUCCESS)
        return STATUS_SUCCESS;
    return mm_reserve_anywhere(section->size, limit, base);
}

/* Reserves the image's range; STATUS_SUCCESS at the wanted base, STATUS_IMAGE_NOT_AT_BASE
 * elsewhere. */
static nt_status place(const struct mm_section *section, const struct mm_map_options *options,
                       uint64_t *base, char *conflict, size_t conflict_size, struct pe_error *err)
{
    const struct pe_headers *h = mm_section_headers(section);
    uint64_t wanted = options->base != 0 ? options->base : h->image_base;
    bool unusable;
    nt_status status;

    describe_unusable(section, wanted, options->base == 0, conflict, conflict_size);
    unusable = conflict[0] != '\0';
    *base = wanted;
    status = STATUS_CONFLICTING_ADDRESSES;
    if (!unusable)
        status = mm_reserve_at(wanted, section->size);
    if (status == STATUS_SUCCESS)
        return status;
    if (!unusable)
        mm_describe_conflict(wanted, section->size, conflict, conflict_size);
    if (options->exact)
        return pe_fail(err, status, "%s: cannot be mapped at 0x%llx: %s", section->name,
                       (unsigned long long)wanted, conflict);
    status = reserve_elsewhere(section, options, base);
    if (!nt_ok(status))
        return pe_fail(err, status, "%s: no room for an image of 0x%x bytes%s", section->name,
                       section->size,
                       options->below_2gib   ? " below 2 GiB"
                       : options->below_4gib ? " below 4 GiB"
                                             : "");
    return STATUS_IMAGE_NOT_AT_BASE;
}

/* What an extent is mapped from, once the caller's backing is known. */
struct source {
    int fd;
    uint64_t offset;
    bool shared;
};

static struct source source_of(const struct mm_section *section, const struct mm_extent *extent,
                               int shared_fd)
{
    if (extent->source == MM_SOURCE_FILE)
        return (struct source){section->file_fd, extent->offset, false};
    if (extent->source == MM_SOURCE_SHARED && shared_fd >= 0)
        return (struct source){shared_fd, extent->offset, true};
    return (struct source){section->object_fd, extent->rva, false};
}

/* Number of extents from `first` on that one mapping covers; `size` is theirs together. */
static uint32_t run_length(const struct mm_section *section, uint32_t first, int shared_fd,
                           uint64_t *size)
{
    const struct mm_extent *extents = section->extents;
    struct source from = source_of(section, &extents[first], shared_fd);
    uint32_t i = first + 1;

    *size = extents[first].size;
    for (; i < section->extent_count; i++) {
        struct source next = source_of(section, &extents[i], shared_fd);

        if (extents[i].rva - extents[first].rva != *size || next.fd != from.fd ||
            next.shared != from.shared || next.offset - from.offset != *size)
            break;
        *size += extents[i].size;
    }
    return i - first;
}

static nt_status overlay(const struct mm_view *view, int shared_fd, struct pe_error *err)
{
    const struct mm_section *section = view->section;
    uint32_t count;

    for (uint32_t i = 0; i < section->extent_count; i += count) {
        const struct mm_extent *extent = &section->extents[i];
        struct source from = source_of(section, extent, shared_fd);
        uint64_t size;

        count = run_length(section, i, shared_fd, &size);
        if (mmap(mm_ptr(view->range.base + extent->rva), (size_t)size, PROT_READ | PROT_WRITE,
                 MAP_FIXED | MAP_NORESERVE | (from.shared ? MAP_SHARED : MAP_PRIVATE), from.fd,
                 (off_t)from.offset) == MAP_FAILED)
            return pe_fail(err, mm_status_of_errno(errno), "%s: cannot map RVA 0x%x-0x%llx: %s",
                           section->name, extent->rva, (unsigned long long)(extent->rva + size - 1),
                           strerror(errno));
    }
    return STATUS_SUCCESS;
}

/* The gaps of an open view are readable: directories of an image can point anywhere inside it. */
static nt_status open_gaps(const struct mm_view *view, struct pe_error *err)
{
    const struct mm_section *section = view->section;
    uint32_t end = 0;

    for (uint32_t i = 0; i <= section->extent_count; i++) {
        bool last = i == section->extent_count;
        uint32_t next = last ? section->size : section->extents[i].rva;

        if (next > end &&
            mprotect(mm_ptr(view->range.base + end), next - end, PROT_READ | PROT_WRITE) != 0)
            return pe_fail(err, mm_status_of_errno(errno), "%s: cannot open the view: %s",
                           section->name, strerror(errno));
        if (!last)
            end = next + section->extents[i].size;
    }
    return STATUS_SUCCESS;
}

static void fill_attributes(struct mm_view *view, bool sharing)
{
    const struct mm_section *section = view->section;

    for (uint32_t i = 0; i < section->extent_count; i++) {
        const struct mm_extent *extent = &section->extents[i];
        bool shared = sharing && extent->source == MM_SOURCE_SHARED;

        memset(view->range.attr + extent->rva / MM_PAGE,
               mm_attr_make(extent->protect, shared ? MM_ATTR_SHARED : 0),
               (size_t)(extent->size / MM_PAGE));
    }
}

/*
 * Everything comes from the file's headers but the data directories, which Windows reads from the
 * mapped image: a PE section may lie over the end of the NT headers (behaviours, Headers).
 */
static void bind_image(struct mm_view *view)
{
    view->image = view->section->image;
    view->image.bytes = (struct pe_span){mm_ptr(view->range.base), view->range.size};
    view->image.layout = PE_LAYOUT_MAPPED;
    view->image.readable = mm_view_readable_run;
    view->image.view = view;
    pe_directories_as_mapped(&view->image);
}

static nt_status populate(struct mm_view *view, int shared_fd, struct pe_error *err)
{
    nt_status status = mm_section_note_view(view->section, err);

    if (nt_ok(status))
        status = overlay(view, shared_fd, err);
    if (nt_ok(status))
        status = open_gaps(view, err);
    if (!nt_ok(status))
        return status;
    fill_attributes(view, shared_fd >= 0);
    bind_image(view);
    /* The first view of the object may have left its own base in the header. */
    mm_view_show_base(view, view->image.h.image_base, false);
    mm_ranges_write_lock();
    status = mm_ranges_insert(&view->range);
    mm_ranges_unlock();
    if (!nt_ok(status))
        pe_fail(err, status, "%s: no memory for the view", view->section->name);
    return status;
}

nt_status mm_view_map(struct mm_section *section, const struct mm_map_options *options,
                      struct mm_view **out, char *conflict, size_t conflict_size,
                      struct pe_error *err)
{
    char why[512] = "";
    uint64_t base;
    struct mm_view *view;
    nt_status status = place(section, options, &base, why, sizeof(why), err), placed = status;

    if (conflict != NULL && conflict_size != 0)
        snprintf(conflict, conflict_size, "%s", why);
    if (!nt_ok(status))
        return status;
    view = calloc(1, sizeof(*view));
    if (view == NULL ||
        !mm_range_init(&view->range, MM_RANGE_IMAGE, base, section->size, PAGE_EXECUTE_WRITECOPY)) {
        free(view);
        mm_unreserve(base, section->size);
        return pe_fail(err, STATUS_NO_MEMORY, "%s: no memory for the view", section->name);
    }
    view->range.view = view;
    view->section = mm_section_ref(section);
    view->open = true;
    status = populate(view, options->shared_fd, err);
    if (!nt_ok(status)) {
        mm_view_unmap(view);
        return status;
    }
    *out = view;
    return placed;
}

void mm_view_unmap(struct mm_view *view)
{
    if (view == NULL)
        return;
    mm_ranges_write_lock();
    mm_ranges_remove(&view->range);
    mm_ranges_unlock();
    mm_view_end(view);
}

void mm_view_end(struct mm_view *view)
{
    mm_unreserve(view->range.base, view->range.size);
    if (view->release != NULL)
        view->release(view->user);
    mm_section_unref(view->section);
    free(view->range.attr);
    free(view);
}
