/*
 * Image section objects that are a part of the program's own file: the builtin modules' images were
 * written when it was built, and every process that runs it maps the same pages. What an entry of
 * the cache says of its image (section_note.c) the program says of these: it was found out by all
 * rules when it was built, and no start has to read more of the image than it uses.
 *
 * The kernel lets nobody write to the file of a running program, so it is as good as sealed. For a
 * shared library that does not hold, and its path may name another file by now: its bytes are
 * copied.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/mm/pages.h"
#include "loader/mm/section_object.h"
#include "loader/mm/view.h"

static bool adopt(struct mm_section *section, const struct mm_inside *image,
                  enum pe_windows windows)
{
    uint64_t offset;
    bool settled;

    if (mm_address(image->bytes) % MM_PAGE != 0 ||
        !mm_inside_offset(image->bytes, image->size, &offset) || offset % MM_PAGE != 0 ||
        !mm_note_read(section, image->note, image->note_size, windows, &settled) ||
        section->size != image->size)
        return false;
    section->object_fd = mm_program_fd();
    if (section->object_fd < 0)
        return false;
    section->object_offset = offset;
    section->inside = section->viewed = section->sealed = true;
    mm_section_settle(section);
    return true;
}

nt_status mm_section_create_image_inside(const struct mm_inside *image, const char *name,
                                         enum pe_windows windows, struct mm_section **out,
                                         struct pe_error *err)
{
    struct mm_section *section = mm_section_alloc(name);

    if (section == NULL)
        return pe_fail(err, STATUS_NO_MEMORY, "%s: no memory for the section object", name);
    if (adopt(section, image, windows)) {
        *out = section;
        return STATUS_SUCCESS;
    }
    mm_section_unref(section);
    return mm_section_create_image_from_memory(image->bytes, image->size, name, windows, out, err);
}

/* ---- when the program is built --------------------------------------------------------------- */

/* The page at RVA r lies at offset r, zero fill and all. */
static bool is_laid_out(const struct mm_section *section, const void *bytes, uint64_t size)
{
    void *object;
    bool same;

    if (section->size != size || section->shared_size != 0)
        return false;
    object = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, section->object_fd, 0);
    if (object == MAP_FAILED)
        return false;
    same = memcmp(object, bytes, (size_t)size) == 0;
    munmap(object, (size_t)size);
    return same;
}

nt_status mm_section_note_inside(const void *bytes, uint64_t size, const char *name,
                                 enum pe_windows windows, uint8_t **note, uint32_t *note_size,
                                 struct pe_error *err)
{
    struct mm_section *section;
    nt_status status =
        mm_section_create_image_from_memory(bytes, size, name, windows, &section, err);
    uint8_t *made;

    if (!nt_ok(status))
        return status;
    made = malloc(MM_CACHE_NOTE);
    *note_size =
        made != NULL && is_laid_out(section, bytes, size) ? mm_note_write(section, true, made) : 0;
    mm_section_unref(section);
    if (*note_size == 0) {
        free(made);
        return pe_fail(err, STATUS_INVALID_IMAGE_FORMAT, "%s cannot be mapped as it is", name);
    }
    *note = made;
    return STATUS_SUCCESS;
}
