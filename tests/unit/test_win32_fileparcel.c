/*
 * Files that go to another process: one position, one claim, one deletion for both; and transfers
 * into memory that another process has committed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "loader/mm/data.h"
#include "loader/ob/parcel.h"
#include "loader/win32/file.h"
#include "tests/unit/status.h"
#include "tests/unit/tempdir.h"
#include "tests/unit/win32_fn.h"

K32(CreateFileA, HANDLE, const char *name, DWORD access, DWORD share, void *security,
    DWORD disposition, DWORD flags, HANDLE template_file)
K32(CreatePipe, BOOL, HANDLE *reader, HANDLE *writer, void *security, DWORD size)
K32(ReadFile, BOOL, HANDLE file, void *buffer, DWORD size, DWORD *done, OVERLAPPED *overlapped)
K32(WriteFile, BOOL, HANDLE file, const void *buffer, DWORD size, DWORD *done,
    OVERLAPPED *overlapped)
K32(CloseHandle, BOOL, HANDLE handle)
K32(GetFileType, DWORD, HANDLE file)
K32(GetStdHandle, HANDLE, DWORD which)
K32(GetFinalPathNameByHandleA, DWORD, HANDLE file, char *buffer, DWORD size, DWORD flags)

static int setup(void **state)
{
    return win32_test_setup(state) || tempdir_create();
}

static int teardown(void **state)
{
    return tempdir_remove();
}

static HANDLE open_file(const char *name, DWORD access, DWORD share, DWORD flags)
{
    return CreateFileA(tempdir_path(name), access, share, NULL, OPEN_ALWAYS, flags, NULL);
}

static void pack(HANDLE handle, struct ob_parcel *parcel)
{
    struct win32_file *file;
    assert_status(win32_file_get(handle, 0, &file), STATUS_SUCCESS);
    assert_status(ob_pack(&file->object, parcel, NULL), STATUS_SUCCESS);
    win32_file_put(file);
}

/* A handle as another process gets it. */
static HANDLE unpack(const struct ob_parcel *parcel)
{
    struct ob_object *object;
    HANDLE handle;
    assert_status(ob_unpack(parcel, &object, NULL), STATUS_SUCCESS);
    struct win32_file *file = (struct win32_file *)object;
    assert_status(win32_file_handle(file, file->access, false, &handle), STATUS_SUCCESS);
    return handle;
}

static HANDLE sent_copy(HANDLE handle)
{
    struct ob_parcel parcel;
    pack(handle, &parcel);
    return unpack(&parcel);
}

static void test_one_position(void **state)
{
    char text[4] = "";
    DWORD done;
    tempdir_write("position", "abcdef", 6);
    HANDLE one = open_file("position", GENERIC_READ, FILE_SHARE_READ, 0), two = sent_copy(one);
    assert_true(ReadFile(one, text, 2, &done, NULL));
    assert_true(ReadFile(two, text, 2, &done, NULL));
    assert_memory_equal(text, "cd", 2);
    assert_fails(WriteFile(two, "x", 1, &done, NULL), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(one));
    assert_true(ReadFile(two, text, 2, &done, NULL));
    assert_memory_equal(text, "ef", 2);
    assert_true(CloseHandle(two));
}

/* The share mode holds as long as one of them has the file. */
static void test_one_claim(void **state)
{
    HANDLE one = open_file("claim", GENERIC_WRITE, 0, 0), two = sent_copy(one);
    assert_true(CloseHandle(one));
    assert_ptr_equal(open_file("claim", GENERIC_READ, 7, 0), INVALID_HANDLE_VALUE);
    assert_true(CloseHandle(two));
    one = open_file("claim", GENERIC_READ, 7, 0);
    assert_ptr_not_equal(one, INVALID_HANDLE_VALUE);
    assert_true(CloseHandle(one));
}

static void test_one_deletion(void **state)
{
    for (int first = 0; first < 2; first++) {
        HANDLE handles[2];
        handles[0] = open_file("deleted", GENERIC_WRITE, 7, FILE_FLAG_DELETE_ON_CLOSE);
        handles[1] = sent_copy(handles[0]);
        assert_true(CloseHandle(handles[first]));
        assert_int_equal(access(tempdir_path("deleted"), F_OK), 0);
        assert_true(CloseHandle(handles[!first]));
        assert_int_equal(access(tempdir_path("deleted"), F_OK), -1);
    }
}

/* A parcel is a holder by itself: the sender may be gone before it arrives. */
static void test_parcel_on_its_way(void **state)
{
    struct ob_parcel parcel;
    HANDLE one = open_file("way", GENERIC_WRITE, 0, FILE_FLAG_DELETE_ON_CLOSE);
    pack(one, &parcel);
    assert_true(CloseHandle(one));
    assert_int_equal(access(tempdir_path("way"), F_OK), 0);
    assert_ptr_equal(open_file("way", GENERIC_READ, 7, 0), INVALID_HANDLE_VALUE);
    assert_true(CloseHandle(unpack(&parcel)));
    assert_int_equal(access(tempdir_path("way"), F_OK), -1);
}

/* A path that does not fit into a parcel is found again. */
static void test_long_path(void **state)
{
    char name[800], before[1200], after[1200];
    size_t length = 0;
    for (int part = 0; part < 4; part++) {
        memset(name + length, 'a' + part, 150);
        length += 150;
        name[length] = 0;
        tempdir_mkdir(name);
        name[length++] = '/';
    }
    strcpy(name + length, "file");
    HANDLE one = open_file(name, GENERIC_READ, 7, 0), two = sent_copy(one);
    assert_int_not_equal(GetFinalPathNameByHandleA(one, before, sizeof(before), 0), 0);
    assert_int_not_equal(GetFinalPathNameByHandleA(two, after, sizeof(after), 0), 0);
    assert_string_equal(before, after);
    assert_true(CloseHandle(one));
    assert_true(CloseHandle(two));
}

static void test_pipes_and_standard_handles(void **state)
{
    HANDLE reader, writer;
    char text[4];
    DWORD done;
    assert_true(CreatePipe(&reader, &writer, NULL, 0));
    HANDLE sent = sent_copy(writer);
    assert_int_equal(GetFileType(sent), FILE_TYPE_PIPE);
    assert_true(CloseHandle(writer));
    assert_true(WriteFile(sent, "abc", 3, &done, NULL));
    assert_true(CloseHandle(sent));
    assert_true(ReadFile(reader, text, 4, &done, NULL));
    assert_int_equal(done, 3);
    assert_fails(ReadFile(reader, text, 4, &done, NULL), ERROR_BROKEN_PIPE);
    assert_true(CloseHandle(reader));
    HANDLE out = GetStdHandle((DWORD)-11);
    sent = sent_copy(out);
    assert_int_equal(GetFileType(sent), GetFileType(out));
    assert_true(CloseHandle(sent));
    assert_int_not_equal(fcntl(1, F_GETFD), -1); /* the stream itself stays the host's */
}

/* What arrives may have been made by anybody. */
static void test_malformed_parcels(void **state)
{
    struct ob_parcel good;
    HANDLE file = open_file("malformed", GENERIC_READ, 7, 0);
    pack(file, &good);
    for (uint32_t size = 0; size <= OB_PARCEL_SIZE; size++) {
        struct ob_object *object;
        struct ob_parcel bad = good;
        bad.size = size;
        bad.fds[0] = fcntl(good.fds[0], F_DUPFD_CLOEXEC, 0);
        int fd = bad.fds[0];
        nt_status status = ob_unpack(&bad, &object, NULL);
        assert_int_equal(nt_ok(status), size == good.size);
        if (nt_ok(status))
            ob_object_unref(object);
        assert_int_equal(fcntl(fd, F_GETFD), -1); /* taken in either case */
    }
    struct ob_object *object;
    struct ob_parcel none = good;
    none.fd_count = 0;
    assert_status(ob_unpack(&none, &object, NULL), STATUS_INVALID_PARAMETER);
    ob_parcel_discard(&good);
    assert_true(CloseHandle(file));
}

/* ---- another process
 * ----------------------------------------------------------------------------- */

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static void send_parcel(int socket, const struct ob_parcel *parcel)
{
    union control control = {0};
    struct iovec data = {(void *)(uintptr_t)parcel, sizeof *parcel};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(header), parcel->fds, sizeof(int));
    assert_int_equal(sendmsg(socket, &message, 0), sizeof *parcel);
}

/* In a child: takes a file, writes to it, reads the one byte that says how to go on. */
static void receive_and_write(int socket)
{
    struct ob_parcel parcel;
    union control control;
    struct iovec data = {&parcel, sizeof parcel};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    char byte;
    DWORD done;
    if (recvmsg(socket, &message, 0) != sizeof parcel)
        _exit(1);
    memcpy(parcel.fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    HANDLE file = unpack(&parcel);
    if (!WriteFile(file, "child", 5, &done, NULL) || write(socket, "w", 1) != 1 ||
        read(socket, &byte, 1) != 1)
        _exit(2);
    _exit(CloseHandle(file) ? 0 : 3);
}

static void test_in_another_process(void **state)
{
    int sockets[2], status;
    char byte, text[16];
    DWORD done;
    struct ob_parcel parcel;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    pid_t child = fork();
    if (child == 0)
        receive_and_write(sockets[1]);
    HANDLE file = open_file("far", GENERIC_READ | GENERIC_WRITE, 7, FILE_FLAG_DELETE_ON_CLOSE);
    assert_true(WriteFile(file, "parent ", 7, &done, NULL));
    pack(file, &parcel);
    send_parcel(sockets[0], &parcel);
    ob_parcel_discard(&parcel);
    assert_int_equal(read(sockets[0], &byte, 1), 1);
    OVERLAPPED start = {0};
    assert_true(ReadFile(file, text, 16, &done, &start));
    assert_int_equal(done, 12);
    assert_memory_equal(text, "parent child", 12);
    assert_true(CloseHandle(file));
    assert_int_equal(access(tempdir_path("far"), F_OK), 0);
    assert_int_equal(write(sockets[0], "e", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(access(tempdir_path("far"), F_OK), -1);
    close(sockets[0]);
    close(sockets[1]);
}

/* ---- memory committed by another process
 * ----------------------------------------------------------- */

static void test_buffer_in_a_reserved_section(void **state)
{
    enum { SIZE = 0x20000, PAGES = SIZE / 0x1000 };
    static uint32_t commit[1]; /* shared by all processes of the section */
    struct mm_data *data;
    uint64_t base, size;
    DWORD done;
    struct mm_data_source source = {
        .fd = memfd_create("section", MFD_CLOEXEC),
        .size = SIZE,
        .protect = PAGE_READWRITE,
        .attributes = SEC_RESERVE,
        .paging_file = true,
        .commit = commit,
        .name = "section",
    };
    assert_int_equal(ftruncate(source.fd, SIZE), 0);
    assert_status(mm_data_create(&source, &data, NULL), STATUS_SUCCESS);
    struct mm_data_map how = {.protect = PAGE_READWRITE};
    assert_status(mm_data_map(data, &how, &base, &size, NULL), STATUS_SUCCESS);
    tempdir_write("long", (const char[3 * 4096]){"text"}, 3 * 4096);
    HANDLE file = open_file("long", GENERIC_READ | GENERIC_WRITE, 7, 0);
    char *view = (char *)(uintptr_t)base;
    assert_fails(ReadFile(file, view, 10, &done, NULL), ERROR_NOACCESS);
    __atomic_fetch_or(&commit[0], 3, __ATOMIC_RELEASE); /* as another process does it */
    assert_true(ReadFile(file, view, 10, &done, NULL));
    assert_string_equal(view, "text");
    /* A page that comes later in one transfer. */
    __atomic_fetch_or(&commit[0], 4, __ATOMIC_RELEASE);
    OVERLAPPED start = {0};
    assert_true(ReadFile(file, view, 3 * 4096, &done, &start));
    assert_int_equal(done, 3 * 4096);
    __atomic_fetch_or(&commit[0], 8, __ATOMIC_RELEASE);
    assert_true(WriteFile(file, view + 3 * 4096, 4096, &done, &start));
    assert_int_equal(done, 4096);
    assert_fails(WriteFile(file, view + 5 * 4096, 10, &done, NULL), ERROR_INVALID_USER_BUFFER);
    assert_true(CloseHandle(file));
    assert_status(mm_unmap_view(base, NULL), STATUS_SUCCESS);
    mm_data_unref(data);
    close(source.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_position),
        cmocka_unit_test(test_one_claim),
        cmocka_unit_test(test_one_deletion),
        cmocka_unit_test(test_parcel_on_its_way),
        cmocka_unit_test(test_long_path),
        cmocka_unit_test(test_pipes_and_standard_handles),
        cmocka_unit_test(test_malformed_parcels),
        cmocka_unit_test(test_in_another_process),
        cmocka_unit_test(test_buffer_in_a_reserved_section),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
