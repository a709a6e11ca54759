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

/* Some are more than is written at once; the last one ends with the file. */
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

static nt_status fill(int object, int file, const struct mm_plan_piece *first, uint32_t count)
{
    const struct mm_plan plan = {.pieces = (struct mm_plan_piece *)first, .count = count};

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
    assert_status(fill(object, file, pieces, PIECES), STATUS_SUCCESS);
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

/* Somebody has written to it meanwhile: no byte of a piece is there, or some are. */
static void the_file_has_become_shorter(void **state)
{
    for (uint32_t i = 0; i < PIECES; i++)
        for (uint32_t part = 0; part < 3; part++) {
            off_t left = part < 2 ? part * (pieces[i].data_size / 2) : pieces[i].data_size - 1;
            int file = source((off_t)pieces[i].data_offset + left), entry = new_file(),
                object = new_memfd();

            assert_status(fill(entry, file, &pieces[i], 1), STATUS_END_OF_FILE);
            assert_status(fill(object, file, &pieces[i], 1), STATUS_END_OF_FILE);
            close(object);
            close(entry);
            close(file);
        }
}

/* The file may have `limit` bytes: not so many that the piece ends within. */
static bool fits(int object, int file, const struct mm_plan_piece *piece, rlim_t limit)
{
    int status;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, limit}) != 0)
            _exit(2);
        _exit(nt_ok(fill(object, file, piece, 1)));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 1;
}

static void there_is_no_room(void **state)
{
    int file = source(FILE_SIZE);

    for (uint32_t i = 0; i < PIECES; i++) {
        uint64_t begin = pieces[i].extent.rva, end = begin + pieces[i].data_size;
        int object = new_file();

        assert_false(fits(object, file, &pieces[i], begin));
        assert_false(fits(object, file, &pieces[i], begin + pieces[i].data_size / 2));
        assert_false(fits(object, file, &pieces[i], end - 1));
        assert_true(fits(object, file, &pieces[i], end));
        close(object);
    }
    close(file);
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
