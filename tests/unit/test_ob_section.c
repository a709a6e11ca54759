/*
 * Section objects below the Win32 API: parcels, requests of other processes, records as others may
 * have written them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "loader/ob/process.h"
#include "loader/ob/section.h"
#include "tests/unit/peer.h"
#include "tests/unit/status.h"
#include "tests/unit/tempdir.h"

enum { UNIT = 0x10000 };

static int set_up(void **state)
{
    ob_section_register();
    return tempdir_create() || setenv("XDG_RUNTIME_DIR", tempdir, 1);
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

/* ---- making some --------------------------------------------------------------------------------
 */

static int file_fd(const char *name, size_t size)
{
    uint8_t *bytes = calloc(1, size);
    memset(bytes, name[0], size);
    tempdir_write(name, bytes, size);
    free(bytes);
    int fd = open(tempdir_path(name), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static const uint16_t letters[] = {'n', 'a', 'm', 'e'};

static struct ob_object *create(int fd, uint64_t size, uint32_t attributes, bool named)
{
    struct ob_object *section = NULL;
    struct ob_section_create how = {.fd = fd,
                                    .path = fd >= 0 ? "/nowhere" : NULL,
                                    .file_read = true,
                                    .file_write = true,
                                    .size = size,
                                    .protect = PAGE_READWRITE,
                                    .attributes = attributes};
    if (named)
        how.name = (struct ob_name){letters, 4};
    struct pe_error err = {0};
    nt_status status = ob_section_create(&how, &section, &err);
    if (!nt_ok(status))
        fail_msg("%s: %s", nt_status_name(status), err.text);
    return section;
}

static uint8_t *map(struct ob_object *section)
{
    struct mm_data_map how = {.protect = PAGE_READWRITE};
    uint64_t base, size;
    assert_status(ob_section_map(section, SECTION_ALL_ACCESS, &how, &base, &size, NULL), 0);
    return (uint8_t *)(uintptr_t)base;
}

static void unmap(const uint8_t *view)
{
    assert_status(ob_section_unmap((uintptr_t)view, NULL), 0);
}

/* ---- parcels ------------------------------------------------------------------------------------
 */

static void a_parcel_is_the_same_object(void **state)
{
    int fd = file_fd("parcel", 5000);
    struct ob_object *sections[] = {
        create(fd, 0, SEC_COMMIT, false), create(-1, 5000, SEC_COMMIT, false),
        create(-1, 5000, SEC_RESERVE, false), create(fd, 0, SEC_COMMIT, true)};
    uint32_t before = count_descriptors();
    for (size_t i = 0; i < 4; i++) {
        struct ob_parcel parcel = {0};
        struct ob_object *again;
        assert_status(ob_pack(sections[i], &parcel, NULL), 0);
        assert_int_equal(parcel.fd_count, i == 0 || i == 3 ? 2 : 1);
        assert_status(ob_unpack(&parcel, &again, NULL), 0);
        assert_ptr_equal(again, sections[i]);
        ob_object_unref(again);
        assert_status(ob_pack(sections[i], &parcel, NULL), 0);
        ob_parcel_discard(&parcel);
        assert_int_equal(count_descriptors(), before);
    }
    for (size_t i = 0; i < 4; i++)
        ob_object_unref(sections[i]);
    close(fd);
}

/* Nobody but the parcel holds the section any more when it is opened. */
static void a_parcel_outlives_its_sender(void **state)
{
    int fd = file_fd("outlives", 5000);
    struct ob_parcel parcel = {0};
    struct ob_object *section = create(fd, 0, SEC_COMMIT, true);
    close(fd);
    assert_status(ob_pack(section, &parcel, NULL), 0);
    ob_object_unref(section);
    assert_int_equal(unlink(tempdir_path("outlives")), 0);
    assert_status(ob_unpack(&parcel, &section, NULL), 0);
    uint8_t *view = map(section);
    assert_int_equal(view[4999], 'o');
    unmap(view);
    ob_object_unref(section);
    struct ob_name name = {letters, 4};
    assert_status(ob_section_open(&name, false, &section, NULL), STATUS_OBJECT_NAME_NOT_FOUND);
}

/* The other file that a parcel brings is not mapped in the section's name. */
static void another_file_in_a_parcel_is_not_taken(void **state)
{
    int fd = file_fd("right", 5000), wrong = file_fd("wrong", 5000);
    struct ob_parcel parcel = {0};
    struct ob_object *section = create(fd, 0, SEC_COMMIT, false);
    uint32_t before = count_descriptors();
    assert_status(ob_pack(section, &parcel, NULL), 0);
    dup3(wrong, parcel.fds[1], O_CLOEXEC);
    ob_object_unref(section);
    /* The sender is gone, so nobody has the right one. */
    assert_status(ob_unpack(&parcel, &section, NULL), STATUS_FILE_INVALID);
    section = create(fd, 0, SEC_COMMIT, false);
    assert_status(ob_pack(section, &parcel, NULL), 0);
    close(parcel.fds[1]);
    parcel.fd_count = 1;
    struct ob_object *again;
    assert_status(ob_unpack(&parcel, &again, NULL), 0); /* it has its file already */
    assert_ptr_equal(again, section);
    ob_object_unref(again);
    assert_int_equal(count_descriptors(), before);
    ob_object_unref(section);
    close(fd);
    close(wrong);
}

static void parcels_that_are_none_are_refused(void **state)
{
    int fd = file_fd("none", 5000);
    uint32_t before = count_descriptors();
    for (uint32_t fds = 0; fds <= OB_PARCEL_FDS; fds++) {
        struct ob_parcel parcel = {.type = OB_TYPE_SECTION, .fd_count = fds, .size = 64};
        struct ob_object *section;
        for (uint32_t i = 0; i < fds; i++)
            parcel.fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        assert_false(nt_ok(ob_unpack(&parcel, &section, NULL)));
        assert_int_equal(count_descriptors(), before);
    }
    close(fd);
}

/* ---- requests of other processes ----------------------------------------------------------------
 */

static void senseless_requests_are_answered(void **state)
{
    struct peer peer = peer_start_program("mapping_peer", (int)sizeof(void *) * 8);
    uint8_t bytes[2048];
    for (uint32_t round = 0; round < 400; round++) {
        struct ob_message request = {.request =
                                         round % 2 ? OB_REQUEST_MAP_VIEW : OB_REQUEST_UNMAP_VIEW},
                          reply = {0};
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)rand();
        assert_status(ob_message_set(&request, bytes, round % 4 < 2 ? round : round * 5), 0);
        if (round % 8 == 1)
            request.fds[request.fd_count++] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        nt_status status = ob_service_call((uint32_t)peer.pid, &request, &reply, NULL);
        assert_false(nt_ok(status));
        assert_int_not_equal(status, STATUS_INVALID_CID);
        ob_message_release(&reply);
        ob_message_release(&request);
    }
    assert_int_equal(peer_ask(&peer, "create 0 %d 4096 alive", PAGE_READWRITE) != 0, 1);
    assert_int_equal(peer_exit(&peer, 0), 0);
}

/* ---- records ------------------------------------------------------------------------------------
 */

static int found;

static void look(void *user, const struct ob_record_info *info)
{
    struct ob_section_summary summary;
    if (info->type_id != OB_TYPE_SECTION)
        return;
    found++;
    assert_string_equal(info->name, "name");
    assert_true(ob_section_summarize(info->body, &summary));
    assert_int_equal(summary.size, 70000);
    assert_int_equal(summary.protect, PAGE_READWRITE);
    assert_int_equal(summary.attributes, SEC_FILE);
    assert_string_equal(summary.path, "/nowhere");
}

static void named_sections_can_be_listed(void **state)
{
    int fd = file_fd("listed", 10);
    struct ob_object *section = create(fd, 70000, SEC_COMMIT, true);
    found = 0;
    assert_status(ob_record_each(look, NULL, NULL), 0);
    assert_int_equal(found, 1);
    ob_object_unref(section);
    assert_status(ob_record_each(look, NULL, NULL), 0);
    assert_int_equal(found, 1);
    close(fd);
}

/* Whatever a record says, asking what it says is harmless and the answer is a string. */
static uint8_t good[OB_RECORD_BODY];

static void keep(void *user, const struct ob_record_info *info)
{
    if (info->type_id == OB_TYPE_SECTION)
        memcpy(good, info->body, sizeof good);
}

static void senseless_records_are_damaged(void **state)
{
    int fd = file_fd("body", 10), refused = 0;
    struct ob_object *section = create(fd, 70000, SEC_COMMIT, true);
    assert_status(ob_record_each(keep, NULL, NULL), 0);
    for (int round = 0; round < 20000; round++) {
        uint8_t body[OB_RECORD_BODY] __attribute__((aligned(16)));
        struct ob_section_summary summary;
        memcpy(body, good, sizeof body);
        for (int i = 0; i < 1 + round % 4; i++)
            body[(unsigned)rand() % (round % 2 ? 48 : sizeof body)] = (uint8_t)rand();
        if (!ob_section_summarize(body, &summary))
            refused++;
        else
            assert_true(strlen(summary.path) < sizeof summary.path);
    }
    assert_true(refused > 1000);
    ob_object_unref(section);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_parcel_is_the_same_object),
        cmocka_unit_test(a_parcel_outlives_its_sender),
        cmocka_unit_test(another_file_in_a_parcel_is_not_taken),
        cmocka_unit_test(parcels_that_are_none_are_refused),
        cmocka_unit_test(senseless_requests_are_answered),
        cmocka_unit_test(named_sections_can_be_listed),
        cmocka_unit_test(senseless_records_are_damaged),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
