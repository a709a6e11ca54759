/*
 * Mapping a view: take the range, overlay, record (view.h; facts 1.7, 2.1, 2.3).
 *
 * A transaction: everything is mapped inside one range, which goes as a whole on failure.
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

static uint64_t limit_of(const struct mm_map_options *options)
{
    uint64_t limit = options->below_2gib ? 0x80000000u : options->below_4gib ? 0x100000000u : 0;

    return options->limit != 0 && (limit == 0 || limit > options->limit) ? options->limit : limit;
}

static bool is_program_that_must_move(const struct mm_section *section,
                                      const struct mm_map_options *options)
{
    return options->base == 0 && pe_must_move(&section->image) &&
           !(section->image.h.characteristics & IMAGE_FILE_DLL);
}

static nt_status reserve_elsewhere(const struct mm_section *section,
                                   const struct mm_map_options *options, uint64_t *base)
{
    *base = PE_MOVED_BASE;
    if (is_program_that_must_move(section, options) &&
        mm_reserve_at(*base, section->size) == STATUS_SUCCESS)
        return STATUS_SUCCESS;
    return mm_reserve_anywhere(section->size, limit_of(options), PROT_NONE, base);
}

/* Each of them is another place; a process seldom has more than one of the first taken. */
#define STABLE_ATTEMPTS 8u

static bool comes_sealed(const struct mm_section *section, const struct mm_map_options *options)
{
    return options->sealed && section->readable_throughout;
}

/* What all pages of the object can be read with at once, and most of them stay like that. */
static int first_prot(const struct mm_section *section, const struct mm_map_options *options)
{
    return comes_sealed(section, options) ? PROT_READ : PROT_READ | PROT_WRITE;
}

/* A range for an image that has to move, and what is mapped there. */
struct placed {
    struct mm_section *section; /* a reference: the section, or its relocated form for `base` */
    uint64_t base;
    bool stable;
};

static bool is_wanted_stable(const struct mm_section *section, const struct mm_map_options *options)
{
    return options->relocatable && options->base == 0 &&
           !is_program_that_must_move(section, options);
}

static bool is_free(uint64_t base, uint64_t size)
{
    if (!nt_ok(mm_reserve_at(base, size)))
        return false;
    mm_unreserve(base, size);
    return true;
}

/* The relocated form for `base`, or NULL: then the section has pages to relocate, if it can. They
 * are laid out for a place that can be had only. */
static struct mm_section *relocated_or_laid_out(struct mm_section *section, uint64_t base)
{
    struct mm_section *moved = mm_section_relocated(section, base);
    bool again;

    if (moved != NULL || section->later == NULL || base == 0 || !is_free(base, section->size) ||
        mm_later_lay_out(section, base, &again) || !again)
        return moved;
    return mm_section_relocated(section, base);
}

/* Where other processes have moved the image to, if that is free here. Not over the place that it
 * prefers: what holds that one is there, too. */
static bool place_stable(struct mm_section *section, const struct mm_map_options *options,
                         struct placed *out)
{
    bool wanted = is_wanted_stable(section, options);
    uint64_t preferred = section->image.h.image_base, size = section->size;

    for (uint32_t attempt = 0; wanted && attempt < STABLE_ATTEMPTS; attempt++) {
        uint64_t base = mm_section_stable_base(section, limit_of(options), attempt);
        struct mm_section *moved, *mapped;

        if (base == 0 || (base < preferred + size && preferred < base + size))
            continue;
        moved = relocated_or_laid_out(section, base);
        mapped = moved != NULL ? moved : section;
        if (mapped->object_fd >= 0 &&
            nt_ok(mm_reserve_with(base, size, mapped->object_fd, mapped->object_offset,
                                  first_prot(mapped, options)))) {
            if (moved != NULL)
                mm_later_served(section);
            *out = (struct placed){moved != NULL ? moved : mm_section_ref(section), base, true};
            return true;
        }
        mm_section_unref(moved);
    }
    return false;
}

static nt_status place_elsewhere(struct mm_section *section, const struct mm_map_options *options,
                                 struct placed *out, struct pe_error *err)
{
    nt_status status;

    if (place_stable(section, options, out))
        return STATUS_IMAGE_NOT_AT_BASE;
    if (section->later != NULL && !nt_ok(status = mm_later_build(section, err)))
        return status;
    status = reserve_elsewhere(section, options, &out->base);
    if (!nt_ok(status))
        return pe_fail(err, status, "%s: no room for an image of 0x%x bytes%s", section->name,
                       section->size,
                       options->below_2gib   ? " below 2 GiB"
                       : options->below_4gib ? " below 4 GiB"
                                             : "");
    if (mmap(mm_ptr(out->base), section->size, first_prot(section, options),
             MAP_FIXED | MAP_PRIVATE | MAP_NORESERVE, section->object_fd,
             (off_t)section->object_offset) == MAP_FAILED) {
        status = pe_fail(err, mm_status_of_errno(errno), "%s: cannot be mapped: %s", section->name,
                         strerror(errno));
        mm_unreserve(out->base, section->size);
        return status;
    }
    out->section = mm_section_ref(section);
    return STATUS_IMAGE_NOT_AT_BASE;
}

static nt_status take_wanted(const struct mm_section *section, const struct mm_map_options *options,
                             uint64_t wanted)
{
    const int prot = first_prot(section, options);

    return options->lasting ? mm_reserve_unused(wanted, section->size, section->object_fd,
                                                section->object_offset, prot)
                            : mm_reserve_with(wanted, section->size, section->object_fd,
                                              section->object_offset, prot);
}

/* Takes the image's range by mapping the object over all of it; STATUS_SUCCESS at the wanted base,
 * STATUS_IMAGE_NOT_AT_BASE elsewhere. */
static nt_status place(struct mm_section *section, const struct mm_map_options *options,
                       struct placed *out, char *conflict, size_t conflict_size,
                       struct pe_error *err)
{
    uint64_t wanted = options->base != 0 ? options->base : section->image.h.image_base;
    nt_status status = STATUS_CONFLICTING_ADDRESSES;
    bool unusable;

    describe_unusable(section, wanted, options->base == 0, conflict, conflict_size);
    unusable = conflict[0] != '\0';
    if (section->later != NULL &&
        (!is_wanted_stable(section, options) || !mm_section_base_taken(section))) {
        nt_status built = mm_later_build(section, err);

        if (!nt_ok(built))
            return built;
    }
    if (!unusable && section->later == NULL)
        status = take_wanted(section, options, wanted);
    if (status == STATUS_SUCCESS) {
        *out = (struct placed){mm_section_ref(section), wanted, false};
        return status;
    }
    if (!unusable && options->exact)
        mm_describe_conflict(wanted, section->size, conflict, conflict_size);
    else if (!unusable)
        mm_describe_own_conflict(wanted, section->size, conflict, conflict_size);
    if (options->exact)
        return pe_fail(err, status, "%s: cannot be mapped at 0x%llx: %s", section->name,
                       (unsigned long long)wanted, conflict);
    return place_elsewhere(section, options, out, err);
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
    return (struct source){section->object_fd, section->object_offset + extent->rva, false};
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

/* Maps what does not come from the object over it. */
static nt_status overlay(const struct mm_view *view, const struct mm_map_options *options,
                         struct pe_error *err)
{
    const struct mm_section *section = view->section;
    uint32_t count;

    for (uint32_t i = 0; i < section->extent_count; i += count) {
        const struct mm_extent *extent = &section->extents[i];
        struct source from = source_of(section, extent, options->shared_fd);
        uint64_t size;

        count = run_length(section, i, options->shared_fd, &size);
        if (from.fd != section->object_fd &&
            mmap(mm_ptr(view->range.base + extent->rva), (size_t)size, first_prot(section, options),
                 MAP_FIXED | MAP_NORESERVE | (from.shared ? MAP_SHARED : MAP_PRIVATE), from.fd,
                 (off_t)from.offset) == MAP_FAILED)
            return pe_fail(err, mm_status_of_errno(errno), "%s: cannot map RVA 0x%x-0x%llx: %s",
                           section->name, extent->rva, (unsigned long long)(extent->rva + size - 1),
                           strerror(errno));
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
    if (!view->section->shows_headers)
        pe_directories_as_mapped(&view->image);
}

static nt_status populate(struct mm_view *view, const struct mm_map_options *options,
                          struct pe_error *err)
{
    nt_status status = mm_section_note_view(view->section, err);

    if (nt_ok(status))
        status = overlay(view, options, err);
    if (nt_ok(status))
        status = mm_later_fill(view, err);
    if (!nt_ok(status))
        return status;
    fill_attributes(view, options->shared_fd >= 0);
    if (comes_sealed(view->section, options))
        status = mm_view_close(view, PROT_READ, err);
    if (!nt_ok(status))
        return status;
    bind_image(view);
    /* The first view of a memfd may have left its own base in the header. */
    if (!view->section->cached && !view->section->inside && view->section->later == NULL)
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
    struct placed at = {0};
    struct mm_view *view;
    nt_status status = place(section, options, &at, why, sizeof(why), err), placed = status;

    if (conflict != NULL && conflict_size != 0)
        snprintf(conflict, conflict_size, "%s", why);
    if (!nt_ok(status))
        return status;
    view = calloc(1, sizeof(*view));
    if (view == NULL || !mm_range_init(&view->range, MM_RANGE_IMAGE, at.base, section->size,
                                       PAGE_EXECUTE_WRITECOPY)) {
        free(view);
        mm_unreserve(at.base, section->size);
        mm_section_unref(at.section);
        return pe_fail(err, STATUS_NO_MEMORY, "%s: no memory for the view", section->name);
    }
    view->range.view = view;
    view->section = at.section;
    view->stable = at.stable;
    view->open = true; /* until it is sealed */
    status = populate(view, options, err);
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
