/*
 * Fuzz target: what another process of the user may send or leave: records of objects, parcels,
 * messages. An input changes a few bytes of a good record and opens it, or is a parcel or a message
 * as it stands. Nothing is left open, whatever comes of it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loader/mm/data.h"
#include "loader/ob/parcel.h"
#include "loader/ob/section.h"
#include "loader/ob/wire.h"
#include "tests/fuzz/fuzz.h"

#define PAGE        4096u
#define MAX_CHANGES 8u
#define MAX_FIRST   (1u << 20) /* records of the good objects are smaller */

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- good objects ---------------------------------------------------------------------------- */

struct good {
    uint32_t type, size;
    uint8_t *bytes; /* of its record */
};
static struct good goods[8];
static uint32_t good_count;

static struct ob_object *make_section(uint32_t attributes)
{
    struct ob_section_create how = {
        .fd = -1, .size = 3 * PAGE, .protect = PAGE_READWRITE, .attributes = attributes};
    struct ob_object *section = NULL;
    must(nt_ok(ob_section_create(&how, &section, NULL)));
    return section;
}

/* Consumes the object. */
static void add_good(struct ob_object *object)
{
    struct good *good = &goods[good_count++];
    struct ob_parcel parcel = {0};
    must(object && nt_ok(ob_pack(object, &parcel, NULL)));
    off_t size = lseek(parcel.fds[0], 0, SEEK_END);
    must(size >= (off_t)PAGE && size <= (off_t)MAX_FIRST);
    *good = (struct good){parcel.type, (uint32_t)size, calloc(1, (size_t)size)};
    must(good->bytes && pread(parcel.fds[0], good->bytes, good->size, 0) == size);
    ob_parcel_discard(&parcel);
    ob_object_unref(object);
}

static void make_goods(void)
{
    if (good_count)
        return;
    ob_section_register();
    add_good(ob_event_create(true, true));
    add_good(ob_semaphore_create(1, 2));
    add_good(ob_mutex_create(0));
    add_good(make_section(SEC_COMMIT));
    add_good(make_section(SEC_RESERVE));
}

/* ---- records --------------------------------------------------------------------------------- */

static void use_section(struct ob_object *section)
{
    struct ob_section_info info;
    struct mm_data_map how = {.protect = PAGE_READONLY};
    uint64_t base, size;
    ob_section_query(section, &info);
    if (nt_ok(ob_section_map(section, SECTION_ALL_ACCESS, &how, &base, &size, NULL))) {
        struct mm_region region;
        must(nt_ok(mm_query(base, &region)) && region.allocation_base == base);
        if (region.state == MEM_COMMIT && region.protect == PAGE_READONLY)
            (void)*(volatile uint8_t *)(uintptr_t)base;
        must(nt_ok(mm_unmap_view(base, NULL)));
    }
}

static void use_object(struct ob_object *object)
{
    uint32_t index;
    if (object->type == &ob_section_type)
        use_section(object);
    else if (object->type->signaled)
        ob_wait(&object, 1, false, 0, (uint32_t)gettid(), &index);
    if (object->type == &ob_mutex_type)
        ob_mutex_release(object, (uint32_t)gettid());
}

static void open_parcel(const struct ob_parcel *parcel)
{
    struct ob_object *object;
    if (!nt_ok(ob_unpack(parcel, &object, NULL)))
        return;
    use_object(object);
    ob_object_unref(object);
}

static int memory_of(const uint8_t *bytes, size_t size)
{
    int fd = -1;
    must(nt_ok(mm_host_memory("fuzz", size, true, &fd, NULL)));
    must(pwrite(fd, bytes, size, 0) == (ssize_t)size);
    return fd;
}

static void try_record(const uint8_t *data, size_t size)
{
    const size_t room = 2 + 3 * MAX_CHANGES;
    if (size < 2)
        return;
    if (size > room) {
        data += size - room;
        size = room;
    }
    const struct good *good = &goods[data[0] % good_count];
    uint32_t changes = 1 + data[1] % MAX_CHANGES;
    uint8_t *bytes = malloc(good->size);
    must(bytes != NULL);
    memcpy(bytes, good->bytes, good->size);
    for (size_t i = 2; changes > 0 && i + 3 <= size; i += 3, changes--)
        bytes[(data[i] | (uint32_t)data[i + 1] << 8) % PAGE] = data[i + 2];
    struct ob_parcel parcel = {
        .type = good->type, .fd_count = 1, .size = 64, .fds = {memory_of(bytes, good->size)}};
    free(bytes);
    open_parcel(&parcel);
}

/* ---- parcels and messages ---------------------------------------------------------------------
 */

static void try_parcel(const uint8_t *data, size_t size)
{
    struct ob_parcel parcel = {0};
    if (size < 2)
        return;
    parcel.type = data[0] % (OB_TYPE_COUNT + 1);
    parcel.fd_count = data[1] % (OB_PARCEL_FDS + 1);
    parcel.size = (uint32_t)(size - 2 < OB_PARCEL_SIZE ? size - 2 : OB_PARCEL_SIZE);
    memcpy(parcel.data, data + 2, parcel.size);
    for (uint32_t i = 0; i < parcel.fd_count; i++)
        parcel.fds[i] = memory_of(data, size);
    open_parcel(&parcel);
}

static void try_message(const uint8_t *data, size_t size)
{
    struct ob_message message = {0};
    struct ob_transfer transfer;
    int ends[2];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    must(send(ends[0], data, size, MSG_NOSIGNAL) == (ssize_t)size);
    close(ends[0]);
    ob_wire_start_receive(&transfer, &message, OB_WIRE_MAX_REQUEST);
    enum ob_wire_step step;
    do
        step = ob_wire_receive(ends[1], &transfer);
    while (step == OB_WIRE_AGAIN);
    must(message.size <= OB_WIRE_MAX_REQUEST && message.fd_count <= OB_PARCEL_FDS);
    ob_message_release(&message);
    close(ends[1]);
}

static void try_summary(const uint8_t *data, size_t size)
{
    struct ob_section_summary summary;
    uint8_t *body = calloc(1, OB_RECORD_BODY);
    must(body != NULL);
    memcpy(body, data, size < OB_RECORD_BODY ? size : OB_RECORD_BODY);
    if (ob_section_summarize(body, &summary))
        must(memchr(summary.path, 0, sizeof summary.path) != NULL);
    free(body);
}

/* The descriptor that the next one to be opened will get: the same before and after. */
static int next_descriptor(void)
{
    int fd = dup(STDERR_FILENO);
    close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(const uint8_t *, size_t) = {try_record, try_parcel, try_message,
                                                             try_summary};
    make_goods();
    if (size == 0)
        return 0;
    int before = next_descriptor();
    /* By the last byte: the images that are replayed begin alike and are cut at many places. */
    tries[data[size - 1] % 4](data, size - 1);
    must(next_descriptor() == before);
    return 0;
}
