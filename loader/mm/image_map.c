/*
 * MapViewOfFile of an image section (data.h; facts 2.3).
 *
 * The same view as a module's, but nobody's module: relocated as the kernel of Windows does it,
 * with DYNAMIC_BASE only, sealed, and ended by mm_unmap_view().
 */
#include "loader/mm/data.h"
#include "loader/mm/view_object.h"
#include "reloc/reloc.h"

static bool is_not_shared(void *view, uint32_t rva, uint32_t len)
{
    return !mm_view_is_shared(view, rva, len);
}

static uint32_t prepare(void *view, uint32_t rva, uint32_t len)
{
    return mm_view_prepare_write(view, rva, len);
}

static nt_status apply(struct mm_view *view, bool owns_shared, struct reloc_plan *plan,
                       struct pe_error *err)
{
    bool shares = view->section->shared_size != 0;
    const struct reloc_memory memory = {
        .user = view,
        .may_write = shares && !owns_shared ? is_not_shared : NULL,
        .prepare = shares ? NULL : prepare,
    };

    return reloc_apply_in(&view->image, plan->delta, &memory, plan, err);
}

/* `*placed` becomes STATUS_SUCCESS when the image fits its new base. */
static nt_status relocate(struct mm_view *view, bool owns_shared, nt_status *placed,
                          struct pe_error *err)
{
    const struct pe_image *image = mm_view_image(view);
    struct reloc_plan plan;
    nt_status status = STATUS_SUCCESS;

    if (*placed != (nt_status)STATUS_IMAGE_NOT_AT_BASE ||
        !(image->h.dll_characteristics & IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE) ||
        !nt_ok(reloc_plan(image, mm_view_base(view), NULL, 0, &plan, NULL)) || pe_is_flat(image))
        return status;
    if (plan.outcome == RELOC_APPLIED)
        status = apply(view, owns_shared, &plan, err);
    if (nt_ok(status))
        status = mm_view_patch_image_base(view, err);
    if (nt_ok(status))
        *placed = STATUS_SUCCESS;
    return status;
}

/* From now on another thread may unmap it. */
static void hand_over(struct mm_view *view, const struct mm_image_map *how)
{
    mm_ranges_write_lock();
    view->unmappable = true;
    view->release = how->release;
    view->user = how->user;
    mm_ranges_unlock();
}

nt_status mm_image_map(struct mm_section *section, const struct mm_image_map *how, uint64_t *base,
                       uint64_t *size, struct pe_error *err)
{
    const struct pe_headers *h = mm_section_headers(section);
    struct mm_map_options options = {
        .base = how->base,
        .exact = how->base != 0,
        .limit = how->limit,
        .shared_fd = how->shared_fd,
        .below_4gib = !h->pe32_plus,
    };
    struct mm_view *view;
    nt_status status, placed;

    if (how->base % MM_GRANULARITY != 0)
        return pe_fail(err, STATUS_MAPPED_ALIGNMENT,
                       "%s: a view at 0x%llx, which is no multiple of 64 KiB", section->name,
                       (unsigned long long)how->base);
    placed = mm_view_map(section, &options, &view, NULL, 0, err);
    if (!nt_ok(placed))
        return placed;
    if (mm_view_base(view) != h->image_base) /* also where it was wanted */
        placed = STATUS_IMAGE_NOT_AT_BASE;
    status = relocate(view, how->owns_shared, &placed, err);
    if (nt_ok(status))
        status = mm_view_seal(view, err);
    if (!nt_ok(status)) {
        mm_view_unmap(view);
        return status;
    }
    *base = mm_view_base(view);
    *size = mm_view_size(view);
    hand_over(view, how);
    return placed;
}
