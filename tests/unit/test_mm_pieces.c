/*
 * What an image section's object is filled with from the file: the same bytes whatever they are
 * written to and however many they are; and what becomes of it when they cannot be had or put.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "loader/mm/section_object.h"
#include "loader/mm/section_plan.h"
#include "tests/unit/mm_test.h"
#include "tests/unit/tempdir.h"

/* Some are more than is written at once; the last ones end with the file. */
static const struct mm_plan_piece pieces[] = {
    {.extent.rva = 0, .data_offset = 0, .data_size = 0x400},
    {.extent.rva = 0x1000, .data_offset = 0x400, .data_size = 1},
    {.extent.rva = 0x2000, .data_offset = 0x401, .data_size = 0x1001},
    {.extent.rva = 0x8000, .data_offset = 0x1600, .data_size = 0x40000},
    {.extent.rva = 0x50000, .data_offset = 0x41600, .data_size = 0x801234},
    {.extent.rva = 0x900000, .data_offset = 0x842834, .data_size = 0x5001},
    {.extent.rva = 0x906000, .data_offset = 0x847835, .data_size = 0x7cb},
};
enum { PIECES = sizeof(pieces) / sizeof(*pieces), FILE_SIZE = 0x848000, OBJECT_SIZE = 0x907000 };
static uint8_t bytes[FILE_SIZE], wanted[OBJECT_SIZE];

static nt_status fill(int object, int file)
{
    const struct mm_plan plan = {.pieces = (struct mm_plan_piece *)pieces, .count = PIECES};

    return mm_section_write_pieces(object, (struct pe_span){NULL, FILE_SIZE}, file, &plan,
                                   MM_PIECES_ALL);
}

/* An entry of the cache is such a file. */
static int new_file(void)
{
    int fd = open(tempdir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

static int new_memfd(void)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static int source(off_t size)
{
    int fd = new_file();

    assert_int_equal(pwrite(fd, bytes, FILE_SIZE, 0), FILE_SIZE);
    assert_int_equal(ftruncate(fd, size), 0);
    return fd;
}

static void check(int object, int file)
{
    uint8_t *got;

    assert_int_equal(ftruncate(object, OBJECT_SIZE), 0);
    assert_status(fill(object, file), STATUS_SUCCESS);
    got = mmap(NULL, OBJECT_SIZE, PROT_READ, MAP_SHARED, object, 0);
    assert_ptr_not_equal(got, MAP_FAILED);
    assert_memory_equal(got, wanted, OBJECT_SIZE);
    munmap(got, OBJECT_SIZE);
    close(object);
    close(file);
}

static void all_of_it(void **state)
{
    check(new_file(), source(FILE_SIZE));
    check(new_memfd(), source(FILE_SIZE));
}

/* Somebody has written to it meanwhile: no byte of it is there, or some are. */
static void the_file_has_become_shorter(void **state)
{
    static const off_t sizes[] = {0,
                                  0x3ff,
                                  0x400,
                                  0x1600,
                                  0x20000,
                                  0x41600,
                                  0x442000,
                                  0x842000,
                                  0x842833,
                                  FILE_SIZE - 0x7cb,
                                  FILE_SIZE - 1};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        for (int kind = 0; kind < 2; kind++) {
            int object = kind == 0 ? new_file() : new_memfd(), file = source(sizes[i]);

            assert_status(fill(object, file), STATUS_END_OF_FILE);
            close(object);
            close(file);
        }
}

static void there_is_no_room(void **state)
{
    static const rlim_t limits[] = {0, 0x1000, 0x20000, 0x200000, 0x850000, 0x901000};

    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        int object = new_file(), file = source(FILE_SIZE), status;
        pid_t child;

        fflush(NULL);
        child = fork();
        if (child == 0) {
            signal(SIGXFSZ, SIG_IGN);
            if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){limits[i], limits[i]}) != 0)
                _exit(2);
            _exit(nt_ok(fill(object, file)));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        close(object);
        close(file);
    }
}

static int setup(void **state)
{
    for (uint32_t i = 0; i < FILE_SIZE; i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 9) + 1);
    for (uint32_t i = 0; i < PIECES; i++)
        memcpy(wanted + pieces[i].extent.rva, bytes + pieces[i].data_offset, pieces[i].data_size);
    return tempdir_create();
}

static int teardown(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it),
        cmocka_unit_test(the_file_has_become_shorter),
        cmocka_unit_test(there_is_no_room),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
