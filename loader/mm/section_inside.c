/*
 * Image section objects that are a part of the program's own file: the builtin modules' images were
 * written when it was built, and every process that runs it maps the same pages.
 *
 * The kernel lets nobody write to the file of a running program, so it is as good as sealed. For a
 * shared library that does not hold, and its path may name another file by now: its bytes are
 * copied.
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "loader/mm/pages.h"
#include "loader/mm/section_object.h"
#include "loader/mm/section_plan.h"
#include "loader/mm/view.h"

bool mm_inside_offset(const void *data, uint64_t size, uint64_t *offset)
{
    const ElfW(Phdr) *headers = (const void *)(uintptr_t)getauxval(AT_PHDR);
    unsigned long count = getauxval(AT_PHNUM);
    uint64_t bias = 0, begin = mm_address(data);

    for (unsigned long i = 0; headers != NULL && i < count; i++)
        if (headers[i].p_type == PT_PHDR)
            bias = mm_address(headers) - headers[i].p_vaddr;
    for (unsigned long i = 0; headers != NULL && i < count; i++) {
        const ElfW(Phdr) *part = &headers[i];
        uint64_t at = begin - bias - part->p_vaddr;

        if (part->p_type == PT_LOAD && !(part->p_flags & PF_W) && at < part->p_filesz &&
            size <= part->p_filesz - at) {
            *offset = part->p_offset + at;
            return true;
        }
    }
    return false;
}

static bool is_zero(struct pe_span bytes, uint64_t offset, uint64_t size)
{
    struct pe_span part;
    bool zero = pe_sub(bytes, offset, size, &part);

    for (uint64_t i = 0; zero && i < size; i++)
        zero = part.data[i] == 0;
    return zero;
}

/* The page at RVA r lies at offset r, zero fill and all. */
static bool is_laid_out(struct pe_span bytes, const struct mm_plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct mm_plan_piece *piece = &plan->pieces[i];

        if (piece->extent.source != MM_SOURCE_OBJECT ||
            (piece->data_size != 0 && piece->data_offset != piece->extent.rva) ||
            !is_zero(bytes, (uint64_t)piece->extent.rva + piece->data_size,
                     piece->extent.size - piece->data_size))
            return false;
    }
    return true;
}

/* The program's file, opened once: it cannot become another one. */
static int program_fd(void)
{
    static _Atomic int program = -1;
    int fd = atomic_load(&program), none = -1;

    if (fd >= 0)
        return fd;
    fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && !atomic_compare_exchange_strong(&program, &none, fd)) {
        close(fd);
        fd = none;
    }
    return fd;
}

bool mm_inside_adopt(struct mm_section *section, struct pe_span bytes, const struct mm_plan *plan)
{
    uint64_t offset;

    if (mm_address(bytes.data) % MM_PAGE != 0 || bytes.size < plan->image_size ||
        !mm_inside_offset(bytes.data, bytes.size, &offset) || offset % MM_PAGE != 0 ||
        !is_laid_out(bytes, plan))
        return false;
    section->object_fd = program_fd();
    if (section->object_fd < 0)
        return false;
    section->object_offset = offset;
    section->inside = section->viewed = section->sealed = true;
    return true;
}
