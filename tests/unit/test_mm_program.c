/*
 * The program's own file: constants are found in it, and its descriptor is that of the file that
 * runs, whatever lies by now where the program was started.
 */
#include <elf.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/mm/section_object.h"
#include "loader/mm/view.h"
#include "tests/unit/tempdir.h"

static const char constant[] = "a constant that lies in the file of this program";
static char variable[] = "what can be written is none";

static bool is_what_runs(int fd)
{
    struct stat ours, running;
    return fd >= 0 && fstat(fd, &ours) == 0 && stat("/proc/self/exe", &running) == 0 &&
           ours.st_dev == running.st_dev && ours.st_ino == running.st_ino;
}

static void constants_are_found(void **state)
{
    char found[sizeof(constant)];
    uint64_t offset;

    assert_true(is_what_runs(mm_program_fd()));
    assert_true(mm_inside_offset(constant, sizeof(constant), &offset));
    assert_int_equal(pread(mm_program_fd(), found, sizeof(found), (off_t)offset), sizeof(found));
    assert_memory_equal(found, constant, sizeof(found));
    assert_false(mm_inside_offset(constant, UINT64_MAX / 2, &offset));
    assert_false(mm_inside_offset(variable, sizeof(variable), &offset));
    assert_false(mm_inside_offset(&offset, sizeof(offset), &offset));
}

static void the_descriptor_is_opened_once(void **state)
{
    assert_int_equal(mm_program_fd(), mm_program_fd());
}

/* ---- another file at the program's path --------------------------------------------------------
 */

static uint8_t *read_program(size_t *size)
{
    FILE *in = fopen("/proc/self/exe", "rb");
    struct stat st;
    uint8_t *bytes;

    assert_non_null(in);
    assert_int_equal(fstat(fileno(in), &st), 0);
    *size = (size_t)st.st_size;
    bytes = malloc(*size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, in), *size);
    fclose(in);
    return bytes;
}

/* The ID that the linker has given the program, in its notes; NULL = none. */
static uint8_t *find_build_id(uint8_t *bytes)
{
    const ElfW(Ehdr) *file = (const void *)bytes;
    const ElfW(Phdr) *part = (const void *)(bytes + file->e_phoff), *end = part + file->e_phnum;

    for (; part < end; part++) {
        uint8_t *at = bytes + part->p_offset, *notes_end = at + part->p_filesz;

        while (part->p_type == PT_NOTE && part->p_align <= 4 && at < notes_end) {
            const ElfW(Nhdr) *note = (const void *)at;
            uint8_t *content = at + sizeof(*note) + (note->n_namesz + 3) / 4 * 4;

            if (note->n_type == NT_GNU_BUILD_ID)
                return content;
            at = content + (note->n_descsz + 3) / 4 * 4;
        }
    }
    return NULL;
}

/* Runs a copy of this program, which puts `other` where the copy was before it asks. NULL: puts
 * nothing there. */
static void run_replaced(const char *other)
{
    const char *copy = tempdir_path("copy");
    size_t size;
    uint8_t *bytes = read_program(&size);
    pid_t child;
    int status;

    tempdir_write("copy", bytes, size);
    free(bytes);
    assert_int_equal(chmod(copy, 0755), 0);
    child = fork();
    if (child == 0) {
        execl(copy, copy, other != NULL ? other : "", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* What the copy does. */
static int replace_and_ask(const char *self, const char *other)
{
    if (other[0] == '\0' ? unlink(self) != 0 : rename(other, self) != 0)
        return 2;
    return is_what_runs(mm_program_fd()) ? 0 : 1;
}

static void nothing_may_be_there(void **state)
{
    run_replaced(NULL);
}

static void another_program_may_be_there(void **state)
{
    tempdir_write("other", "#!/bin/sh\n", 10);
    run_replaced(tempdir_path("other"));
}

static void another_build_may_be_there(void **state)
{
    size_t size;
    uint8_t *bytes = read_program(&size), *id = find_build_id(bytes);

    if (id == NULL) {
        free(bytes);
        skip();
    }
    id[0] ^= 1;
    tempdir_write("other", bytes, size);
    run_replaced(tempdir_path("other"));
    tempdir_write("other", bytes, (size_t)(id - bytes)); /* cut short in front of it */
    run_replaced(tempdir_path("other"));
    free(bytes);
}

static void a_directory_may_be_there(void **state)
{
    tempdir_mkdir("folder");
    /* A folder cannot take the place of a file: the link to it can. */
    assert_int_equal(symlink(tempdir_path("folder"), tempdir_path("other")), 0);
    run_replaced(tempdir_path("other"));
}

static int set_up(void **state)
{
    return tempdir_create();
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constants_are_found),
        cmocka_unit_test(the_descriptor_is_opened_once),
        cmocka_unit_test(nothing_may_be_there),
        cmocka_unit_test(another_program_may_be_there),
        cmocka_unit_test(another_build_may_be_there),
        cmocka_unit_test(a_directory_may_be_there),
    };
    if (argc == 2)
        return replace_and_ask(argv[0], argv[1]);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
