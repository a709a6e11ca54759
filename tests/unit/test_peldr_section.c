/*
 * Section objects for the host: shared between native processes, and with Windows code that calls
 * KERNEL32 in this process and in another one, of either word size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>

#include "loader/mm/protect.h"
#include "loader/peldr.h"
#include "pe/status.h"
#include "tests/unit/peer.h"
#include "tests/unit/tempdir.h"

enum { UNIT = 0x10000 };

static int set_up(void **state)
{
    return tempdir_create() || setenv("XDG_RUNTIME_DIR", tempdir, 1);
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

static void fails_with(bool failed, int status)
{
    assert_true(failed);
    assert_string_equal(peldr_status_name(peldr_error_status()), nt_status_name((nt_status)status));
    assert_non_null(strstr(peldr_error(), nt_status_name((nt_status)status)));
}

/* ---- files --------------------------------------------------------------------------------------
 */

static int open_file(const char *name, int flags)
{
    int fd = open(tempdir_path(name), flags | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void a_file_is_mapped_grown_and_written(void **state)
{
    struct peldr_section_info info;
    struct stat st;
    char bytes[5];
    int existed = 7, fd = open_file("file", O_RDWR | O_CREAT);
    peldr_section *section = peldr_section_create(NULL, fd, 100000, PELDR_PAGE_READWRITE, &existed);
    assert_non_null(section);
    assert_null(peldr_error());
    assert_int_equal(existed, 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 100000);
    assert_int_equal(peldr_section_info(section, &info), 0);
    assert_int_equal(info.size, 100000);
    assert_int_equal(info.protect, PELDR_PAGE_READWRITE);
    char *view = peldr_section_map(section, PELDR_MAP_WRITE, UNIT, 0, NULL);
    assert_non_null(view);
    assert_int_equal(peldr_section_close(section), 0);
    memcpy(view, "hello", 5);
    assert_int_equal(peldr_section_flush(view, 0), 0);
    assert_int_equal(pread(fd, bytes, 5, UNIT), 5);
    assert_memory_equal(bytes, "hello", 5);
    struct peldr_region region;
    assert_int_equal(peldr_query((uintptr_t)view, &region), 0);
    assert_string_equal(region.backing, "data_file");
    assert_int_equal(peldr_section_unmap(view + 100), 0);
    fails_with(peldr_section_unmap(view) == -1, STATUS_NOT_MAPPED_VIEW);
    fails_with(peldr_section_flush(view, 0) == -1, STATUS_NOT_MAPPED_VIEW);
    close(fd);
}

static void failures_have_a_status_and_a_sentence(void **state)
{
    struct peldr_section_info info;
    int writable = open_file("w", O_WRONLY | O_CREAT), readable = open_file("w", O_RDONLY);
    peldr_section *section = peldr_section_create(NULL, -1, 4096, PELDR_PAGE_READONLY, NULL);
    fails_with(!peldr_section_create(NULL, -1, 0, PELDR_PAGE_READWRITE, NULL),
               STATUS_INVALID_PARAMETER_4);
    fails_with(!peldr_section_create(NULL, -1, 1, 1, NULL), STATUS_INVALID_PAGE_PROTECTION);
    fails_with(!peldr_section_create(NULL, 12345, 1, PELDR_PAGE_READONLY, NULL),
               STATUS_INVALID_HANDLE);
    fails_with(!peldr_section_create(NULL, writable, 1, PELDR_PAGE_READONLY, NULL),
               STATUS_ACCESS_DENIED);
    fails_with(!peldr_section_create(NULL, readable, 1, PELDR_PAGE_READWRITE, NULL),
               STATUS_ACCESS_DENIED);
    fails_with(!peldr_section_create(NULL, readable, 0, PELDR_PAGE_READONLY, NULL),
               STATUS_MAPPED_FILE_SIZE_ZERO);
    fails_with(!peldr_section_create(NULL, readable, 1, PELDR_PAGE_READONLY, NULL),
               STATUS_SECTION_TOO_BIG);
    fails_with(
        !peldr_section_create(NULL, readable, 0, PELDR_PAGE_READONLY | PELDR_SEC_IMAGE, NULL),
        STATUS_INVALID_FILE_FOR_SECTION);
    fails_with(!peldr_section_create("a\\b", -1, 1, PELDR_PAGE_READONLY, NULL),
               STATUS_OBJECT_PATH_NOT_FOUND);
    fails_with(!peldr_section_open("nothing", PELDR_MAP_READ), STATUS_OBJECT_NAME_NOT_FOUND);
    fails_with(!peldr_section_map(section, PELDR_MAP_WRITE, 0, 0, NULL), STATUS_ACCESS_DENIED);
    fails_with(!peldr_section_map(section, PELDR_MAP_READ, 1, 0, NULL), STATUS_MAPPED_ALIGNMENT);
    fails_with(!peldr_section_map(section, PELDR_MAP_READ, 0, 4097, NULL),
               STATUS_INVALID_VIEW_SIZE);
    fails_with(!peldr_section_map(NULL, PELDR_MAP_READ, 0, 0, NULL), STATUS_INVALID_HANDLE);
    fails_with(peldr_section_commit(&info, 1) == -1, STATUS_NOT_MAPPED_VIEW);
    assert_int_equal(peldr_section_close(section), 0);
    fails_with(peldr_section_close(section) == -1, STATUS_INVALID_HANDLE);
    fails_with(peldr_section_info(section, &info) == -1, STATUS_INVALID_HANDLE);
    close(writable);
    close(readable);
}

/* ---- another native process ---------------------------------------------------------------------
 */

/* A process that has nothing of this one's but the name: it was forked before. */
static void native_child(int ready)
{
    char byte;
    int existed = 0;
    if (read(ready, &byte, 1) != 1)
        _exit(2);
    peldr_section *section =
        peldr_section_create("n\xC3\xA4tive", -1, 1, PELDR_PAGE_READWRITE, &existed);
    uint8_t *view = section ? peldr_section_map(section, PELDR_MAP_WRITE, 0, 0, NULL) : NULL;
    if (!view || !existed || view[3 * UNIT - 1] != 5)
        _exit(1);
    view[0] = 6;
    _exit(0);
}

static void native_processes_share_by_name(void **state)
{
    int pipes[2], status = -1;
    struct peldr_section_info info;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0)
        native_child(pipes[0]);
    peldr_section *section =
        peldr_section_create("n\xC3\xA4tive", -1, 3 * UNIT, PELDR_PAGE_READWRITE, NULL);
    uint8_t *view = peldr_section_map(section, PELDR_MAP_WRITE, 0, 0, NULL);
    assert_non_null(view);
    view[3 * UNIT - 1] = 5;
    assert_int_equal(write(pipes[1], "", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(pipes[0]);
    close(pipes[1]);
    assert_int_equal(view[0], 6);
    peldr_section *again = peldr_section_open("Local\\n\xC3\xA4tive", PELDR_MAP_READ);
    assert_int_equal(peldr_section_info(again, &info), 0);
    assert_int_equal(info.size, 3 * UNIT);
    fails_with(!peldr_section_map(again, PELDR_MAP_WRITE, 0, 0, NULL), STATUS_ACCESS_DENIED);
    assert_int_equal(peldr_section_close(again), 0);
    assert_int_equal(peldr_section_close(section), 0);
    assert_int_equal(peldr_section_unmap(view), 0);
}

/* ---- Windows code -------------------------------------------------------------------------------
 */

static void with_another_process(int word)
{
    struct peer peer = peer_start_program("mapping_peer", word);
    peldr_section *section =
        peldr_section_create("both worlds", -1, UNIT, PELDR_PAGE_READWRITE, NULL);
    uint8_t *view = peldr_section_map(section, PELDR_MAP_WRITE, 0, 0, NULL);
    view[1] = 11;
    uint32_t theirs = peer_ask(&peer, "open %d both worlds", PELDR_MAP_ALL);
    assert_int_equal(peer_ask(&peer, "map %u %d 0", theirs, PELDR_MAP_WRITE), 1);
    assert_int_equal(peer_ask(&peer, "peek 1"), 11);
    peer_ask(&peer, "poke 2 22");
    assert_int_equal(view[2], 22);
    assert_int_equal(peldr_section_close(section), 0);
    assert_int_equal(peldr_section_unmap(view), 0);
    /* And the other way round. */
    section = peldr_section_open("both worlds", PELDR_MAP_READ);
    assert_non_null(section);
    assert_int_equal(peldr_section_close(section), 0);
    peer_kill(&peer);
    fails_with(!peldr_section_open("both worlds", PELDR_MAP_READ), STATUS_OBJECT_NAME_NOT_FOUND);
}

static void commits_of_another_process(int word)
{
    struct peer peer = peer_start_program("mapping_peer", word);
    peldr_section *section = peldr_section_create("grows", -1, 64 * UNIT,
                                                  PELDR_PAGE_READWRITE | PELDR_SEC_RESERVE, NULL);
    uint8_t *view = peldr_section_map(section, PELDR_MAP_WRITE, 0, 0, NULL);
    uint32_t theirs = peer_ask(&peer, "open %d grows", PELDR_MAP_ALL);
    peer_ask(&peer, "map %u %d 0", theirs, PELDR_MAP_WRITE);
    peer_ask(&peer, "commit %d 1", 9 * UNIT);
    view[9 * UNIT] = 7;
    assert_int_equal(peldr_section_commit(view + 3, 1), 0);
    view[3] = 8;
    assert_int_equal(peer_ask(&peer, "peek %d", 9 * UNIT), 7);
    assert_int_equal(peer_ask(&peer, "peek 3"), 8);
    assert_int_equal(peldr_section_close(section), 0);
    assert_int_equal(peldr_section_unmap(view), 0);
    assert_int_equal(peer_exit(&peer, 0), 0);
}

static void a_section_is_shared_with_windows_code_elsewhere(void **state)
{
    for (int word = 32; word <= 64; word += 32) {
        if (!peer_has_word(word))
            continue;
        with_another_process(word);
        commits_of_another_process(word);
    }
}

static void a_section_is_a_handle_of_images(void **state)
{
    void *(PELDR_WINAPI * map)(peldr_section *, uint32_t, uint32_t, uint32_t, size_t);
    int32_t(PELDR_WINAPI * close_handle)(peldr_section *);
    peldr_module *kernel32 = peldr_open("KERNEL32.dll", 0);
    *(void **)&map = peldr_sym(kernel32, "MapViewOfFile");
    *(void **)&close_handle = peldr_sym(kernel32, "CloseHandle");
    peldr_section *section = peldr_section_create(NULL, -1, UNIT, PELDR_PAGE_READWRITE, NULL);
    uint8_t *mine = peldr_section_map(section, PELDR_MAP_WRITE, 0, 0, NULL);
    uint8_t *theirs = map(section, PELDR_MAP_READ, 0, 0, 0);
    assert_non_null(theirs);
    mine[77] = 78;
    assert_int_equal(theirs[77], 78);
    assert_true(close_handle(section));
    fails_with(peldr_section_close(section) == -1, STATUS_INVALID_HANDLE);
    assert_int_equal(peldr_section_unmap(mine), 0);
    assert_int_equal(peldr_section_unmap(theirs), 0);
    assert_int_equal(peldr_close(kernel32), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_mapped_grown_and_written),
        cmocka_unit_test(failures_have_a_status_and_a_sentence),
        cmocka_unit_test(native_processes_share_by_name),
        cmocka_unit_test(a_section_is_shared_with_windows_code_elsewhere),
        cmocka_unit_test(a_section_is_a_handle_of_images),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
