/*
 * The inside of a view (internal to mm/).
 */
#ifndef MM_VIEW_OBJECT_H
#define MM_VIEW_OBJECT_H

#include "loader/mm/region.h"
#include "loader/mm/section_object.h"
#include "loader/mm/view.h"

struct mm_view {
    struct mm_range range; /* its attributes and `open` are guarded by the region lock */
    struct mm_section *section;
    struct pe_image image;
    bool unmappable; /* by mm_unmap_view(), which then calls `release` if there is one */
    void (*release)(void *user);
    void *user;
    bool stable; /* at the base where every process that has to move the image tries it first */
    bool open;   /* host pages are readable and writable, whatever their attributes say */
};

/* A view that has left the list of ranges: unmaps and frees it. */
void mm_view_end(struct mm_view *view);
/* True when a page of [rva, rva+len) has one of the attribute `bits`; takes the region lock. */
bool mm_view_has_attr(const struct mm_view *view, uint32_t rva, uint32_t len, uint8_t bits);
/* How many of the `len` bytes at `rva` may be read now: pe_image.readable of the view's image. */
uint32_t mm_view_readable_run(const void *view, uint32_t rva, uint32_t len);
/* Makes the mapped header of an open view show `base`; `in_object`: for everyone, if still
 * possible. */
void mm_view_show_base(struct mm_view *view, uint64_t base, bool in_object);

/* Closes an open view all of whose host pages have PROT_* `now`. */
nt_status mm_view_close(struct mm_view *view, int now, struct pe_error *err);

/* prepare.c: anonymous memory can have huge pages. */
bool mm_have_huge_pages(void);

#endif
