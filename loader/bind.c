/*
 * Binds the builtin modules' images to a program that lies at a fixed address (bind.h): what every
 * start would write into private copies of their pages is then in its file, and shared.
 *
 * The program does that to itself, because only it knows where its functions are, many of which
 * have no symbol. The tables are found by where they lie in memory.
 */
#include "loader/bind.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ldr/builtin_image.h"
#include "loader/mm/view.h"
#include "loader/peldr_api.h"

struct file {
    uint8_t *bytes;
    size_t size;
};

static bool read_program(struct file *out)
{
    FILE *program = fopen("/proc/self/exe", "re");
    struct stat st;
    bool done = program != NULL && fstat(fileno(program), &st) == 0 &&
                (out->bytes = malloc((size_t)st.st_size)) != NULL;
    out->size = done ? (size_t)st.st_size : 0;
    done = done && fread(out->bytes, 1, out->size, program) == out->size;
    if (program != NULL)
        fclose(program);
    return done;
}

static bool lies_at_fixed_address(const struct file *file)
{
    const ElfW(Ehdr) *header = (const void *)file->bytes;
    return file->size >= sizeof(*header) && header->e_type == ET_EXEC;
}

/* Where a constant of this program lies in its file; NULL = it does not. */
static uint8_t *in_file(const struct file *file, const void *constant, uint64_t size)
{
    uint64_t offset;
    return mm_inside_offset(constant, size, &offset) && offset <= file->size &&
                   size <= file->size - offset
               ? file->bytes + offset
               : NULL;
}

static bool bind_all(const struct file *file)
{
    const struct ldr_builtin *builtin = NULL;
    const void *gate = (const void *)ldr_trap_entry;
    while ((builtin = ldr_builtin_next(builtin)) != NULL) {
        const struct ldr_prepared *prepared = builtin->prepared;
        if (prepared == NULL)
            continue;
        uint8_t *image = in_file(file, prepared->bytes, prepared->size);
        uint8_t *bound = in_file(file, prepared->bound, sizeof gate);
        if (image == NULL || bound == NULL)
            return false;
        ldr_prepared_connect(builtin, image);
        memcpy(bound, &gate, sizeof gate);
    }
    return true;
}

static bool write_program(const struct file *file, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool done = out != NULL && fwrite(file->bytes, 1, file->size, out) == file->size &&
                fchmod(fd, 0755) == 0;
    if (out != NULL)
        done = fclose(out) == 0 && done;
    else if (fd >= 0)
        close(fd);
    return done;
}

int peldr_bind_program(const char *path)
{
    struct file file = {NULL, 0};
    const char *failed = NULL;
    peldr_begin();
    if (!read_program(&file))
        failed = "this program cannot be read";
    else if (lies_at_fixed_address(&file) && !bind_all(&file))
        failed = "the builtin modules' images are not in this program's file";
    else if (!write_program(&file, path))
        failed = strerror(errno);
    free(file.bytes);
    if (failed == NULL)
        return 0;
    fprintf(stderr, "peldr: cannot write the bound program %s: %s\n", path, failed);
    return -1;
}
