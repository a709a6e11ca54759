/*
 * This program's own file: where its constants lie in it, and a descriptor of it.
 *
 * What /proc/self/exe names is the file that runs, but the kernel makes that name for each process
 * that asks: opening it takes four times as long as opening the path that the program was started
 * by. The file that is found there is taken when it is this very program, by the ID that the linker
 * has given it (ELF, NT_GNU_BUILD_ID); a process that was given more rights than its parent has
 * does not ask there, since the path is its parent's choice.
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
#include "loader/mm/view.h"

/* Notes of a program, all together: a few of 32 to 68 bytes. */
#define MAX_NOTES 256u

struct program {
    const ElfW(Phdr) * headers;
    unsigned long count;
    uint64_t bias; /* it lies so far above what its headers say */
};

static struct program this_program(void)
{
    struct program p = {.headers = (const void *)(uintptr_t)getauxval(AT_PHDR),
                        .count = getauxval(AT_PHNUM)};

    if (p.headers == NULL)
        p.count = 0;
    for (unsigned long i = 0; i < p.count; i++)
        if (p.headers[i].p_type == PT_PHDR)
            p.bias = mm_address(p.headers) - p.headers[i].p_vaddr;
    return p;
}

bool mm_inside_offset(const void *data, uint64_t size, uint64_t *offset)
{
    struct program p = this_program();
    uint64_t begin = mm_address(data);

    for (unsigned long i = 0; i < p.count; i++) {
        const ElfW(Phdr) *part = &p.headers[i];
        uint64_t at = begin - p.bias - part->p_vaddr;

        if (part->p_type == PT_LOAD && !(part->p_flags & PF_W) && at < part->p_filesz &&
            size <= part->p_filesz - at) {
            *offset = part->p_offset + at;
            return true;
        }
    }
    return false;
}

/* Each note: the sizes of its owner's name and of its content, its type, both padded to 4 bytes. */
static bool has_build_id(struct pe_span notes)
{
    static const char owner[4] = "GNU";
    uint32_t name_size, size, type;
    struct pe_span name;

    for (uint64_t at = 0; pe_u32(notes, at, &name_size) && pe_u32(notes, at + 4, &size) &&
                          pe_u32(notes, at + 8, &type) && pe_sub(notes, at + 12, name_size, &name);
         at += 12 + mm_round_up(name_size, 4) + mm_round_up(size, 4))
        if (type == NT_GNU_BUILD_ID && size != 0 && name_size == sizeof(owner) &&
            memcmp(name.data, owner, sizeof(owner)) == 0)
            return true;
    return false;
}

/* The file has the same notes at the same place, its ID among them. */
static bool is_this_program(int fd)
{
    struct program p = this_program();
    uint8_t theirs[MAX_NOTES];

    for (unsigned long i = 0; i < p.count; i++) {
        const ElfW(Phdr) *part = &p.headers[i];
        size_t size = (size_t)part->p_filesz;
        struct pe_span ours = {mm_ptr(p.bias + part->p_vaddr), size};

        if (part->p_type == PT_NOTE && size <= sizeof(theirs) && part->p_align <= 4 &&
            has_build_id(ours))
            return pread(fd, theirs, size, (off_t)part->p_offset) == (ssize_t)size &&
                   memcmp(theirs, ours.data, size) == 0;
    }
    return false;
}

static int open_program(void)
{
    const char *path = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    int fd = -1;

    if (path != NULL && getauxval(AT_SECURE) == 0)
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd >= 0 && !is_this_program(fd)) {
        close(fd);
        fd = -1;
    }
    return fd >= 0 ? fd : open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

int mm_program_fd(void)
{
    static _Atomic int program = -1;
    int fd = atomic_load(&program), none = -1;

    if (fd >= 0)
        return fd;
    fd = open_program();
    if (fd >= 0 && !atomic_compare_exchange_strong(&program, &none, fd)) {
        close(fd);
        fd = none;
    }
    return fd;
}
