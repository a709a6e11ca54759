/*
 * What this process tells others of the same user about its address space: regions as VirtualQuery
 * reports them, and the images that are loaded. Runs on the service thread.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "loader/ldr/ldr.h"
#include "loader/ldr/module.h"
#include "loader/peldr_walk.h"

/* Less than what a message may have: a reply that does not fit ends early. */
#define MAX_REPLY   (48u << 20)
#define NAME_LENGTH 4096u
/* How long the loader may be busy: 20 times 10 ms. */
#define LOCK_TRIES      20
#define LOCK_PAUSE_NSEC 10000000

struct reply_buffer {
    struct ob_message *reply;
    uint32_t room, count;
    bool full;
};

static void *append(struct reply_buffer *buffer, const void *bytes, uint32_t size)
{
    struct ob_message *reply = buffer->reply;
    if (!buffer->full && size > buffer->room - reply->size) {
        uint32_t room = buffer->room ? buffer->room * 2 : 65536;
        uint8_t *more = room <= MAX_REPLY ? realloc(reply->bytes, room) : NULL;
        buffer->full = !more;
        if (more) {
            reply->bytes = more;
            buffer->room = room;
        }
    }
    if (buffer->full)
        return NULL;
    void *place = reply->bytes + reply->size;
    memcpy(place, bytes, size);
    reply->size += size;
    return place;
}

static uint32_t length_of(const char *text)
{
    return (uint32_t)strnlen(text, NAME_LENGTH);
}

/* Whole entries only. */
static bool append_entry(struct reply_buffer *buffer, const void *entry, uint32_t size,
                         const char *name, const char *path)
{
    uint32_t before = buffer->reply->size;
    append(buffer, entry, size);
    append(buffer, name, length_of(name));
    if (append(buffer, path, length_of(path))) {
        buffer->count++;
        return true;
    }
    buffer->reply->size = before;
    return false;
}

static void begin(struct reply_buffer *buffer, struct ob_message *reply, uint32_t magic)
{
    const struct walk_header header = {.magic = magic};
    *buffer = (struct reply_buffer){.reply = reply};
    append(buffer, &header, sizeof header);
}

static void end(struct reply_buffer *buffer)
{
    struct ob_message *reply = buffer->reply;
    if (!reply->bytes) {
        reply->status = (nt_status)STATUS_NO_MEMORY;
        return;
    }
    memcpy(reply->bytes + offsetof(struct walk_header, count), &buffer->count,
           sizeof buffer->count);
}

/* ---- regions ---- */

static bool add_region(void *user, const struct mm_region *region, const char *name)
{
    const struct walk_region entry = {
        .base = region->base,
        .size = region->size,
        .allocation_base = region->allocation_base,
        .allocation_protect = region->allocation_protect,
        .state = region->state,
        .protect = region->protect,
        .type = region->type,
        .name_size = length_of(name),
    };
    return append_entry(user, &entry, sizeof entry, name, "");
}

void peldr_answer_regions(struct ob_message *request, struct ob_message *reply)
{
    struct reply_buffer buffer;
    begin(&buffer, reply, WALK_REGIONS_MAGIC);
    mm_query_each(add_region, &buffer);
    end(&buffer);
}

/* ---- modules ---- */

/* An entry point may be running, for as long as it likes. */
static bool lock_loader(void)
{
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NSEC};
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (ldr_trylock())
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static bool add_module(struct reply_buffer *buffer, const struct ldr_module *module)
{
    const char *name = ldr_module_name(module), *path = ldr_module_path(module);
    const struct mm_view *view = ldr_module_view(module);
    const struct walk_module entry = {
        .base = ldr_module_base(module),
        .size = view ? mm_view_size(view) : 0,
        .dev = module->has_file ? module->file.dev : 0,
        .ino = module->has_file ? module->file.ino : 0,
        .flags = (ldr_module_is_builtin(module) ? WALK_BUILTIN : 0) |
                 (module->has_file ? WALK_FILE : 0) |
                 (ldr_module_relocation(module)->outcome == RELOC_APPLIED ? WALK_RELOCATED : 0) |
                 (ldr_module_relocation_is_cached(module) ? WALK_CACHED : 0),
        .name_size = length_of(name),
        .path_size = length_of(path),
    };
    return append_entry(buffer, &entry, sizeof entry, name, path);
}

void peldr_answer_modules(struct ob_message *request, struct ob_message *reply)
{
    struct reply_buffer buffer;
    bool room = true;
    if (!lock_loader()) {
        reply->status = (nt_status)STATUS_IO_TIMEOUT;
        return;
    }
    begin(&buffer, reply, WALK_MODULES_MAGIC);
    LDR_FOR_EACH(module, &ldr_load_order, order)
    room = room && add_module(&buffer, module);
    LDR_FOR_EACH(module, &ldr_unlisted, order)
    room = room && add_module(&buffer, module);
    ldr_unlock();
    end(&buffer);
}

void peldr_walk_register(void)
{
    ob_service_register(OB_REQUEST_REGIONS, peldr_answer_regions);
    ob_service_register(OB_REQUEST_MODULES, peldr_answer_modules);
}
