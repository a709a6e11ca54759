/*
 * Version 4 of the C++ exception tables (x86-64): FuncInfo4 and its packed maps (eh_table.h).
 *
 * Every map begins with its number of entries, and most integers take 1 to 5 bytes. A catch block
 * has a FuncInfo4 of its own, whose states begin anew. Code that profile-guided optimization has
 * moved away from its function has a map of states per part.
 */
#include "loader/win32/crt/eh_table.h"

enum header { /* FuncInfoHeader */
              HEAD_CATCH = 1,
              HEAD_SEPARATED = 2,
              HEAD_TOOL_FLAGS = 4,
              HEAD_UNWIND_MAP = 8,
              HEAD_TRY_MAP = 0x10,
              HEAD_SYNCHRONOUS = 0x20,
              HEAD_NOEXCEPT = 0x40,
};
enum catch_header { /* HandlerTypeHeader */
                    CATCH_ADJECTIVES = 1,
                    CATCH_TYPE = 2,
                    CATCH_OBJECT = 4,
                    CATCH_NEXT_IS_RVA = 8,
                    CATCH_NEXT_SHIFT = 4,
};

bool eh_read_packed(const struct eh_image *image, uint32_t *at, uint32_t *out)
{
    uint8_t first;
    if (!pe_u8(image->bytes, *at, &first)) {
        return false;
    }
    unsigned length = 1; /* one more for every low bit that is set; five are full */
    while (length < 5 && (first >> (length - 1) & 1) != 0) {
        length++;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < length; i++) {
        uint8_t byte;
        if (!pe_u8(image->bytes, (uint64_t)*at + i, &byte)) {
            return false;
        }
        value |= (uint64_t)byte << 8 * i;
    }
    *at += length;
    *out = (uint32_t)(value >> (length < 5 ? length : 8));
    return true;
}

/* A four-byte RVA. */
static bool read_rva(const struct eh_image *image, uint32_t *at, uint32_t *out)
{
    if (!pe_u32(image->bytes, *at, out)) {
        return false;
    }
    *at += 4;
    return *out < image->bytes.size;
}

static bool read_state(const struct eh_image *image, uint32_t *at, int32_t *out)
{
    uint32_t value;
    if (!eh_read_packed(image, at, &value)) {
        return false;
    }
    *out = (int32_t)value;
    return value <= INT32_MAX;
}

/* The number of entries, each at least a byte, in front of a map; none where there is no map. */
static bool open_map(const struct eh_image *image, uint32_t *map, uint32_t *count)
{
    return *map == 0 || (eh_read_packed(image, map, count) && eh_holds(image, *map, *count, 1));
}

static bool next_try(const struct eh_function *f, uint32_t *at, struct eh_try *out)
{
    *out = (struct eh_try){0};
    return read_state(&f->image, at, &out->low) && read_state(&f->image, at, &out->high) &&
           read_state(&f->image, at, &out->catch_high) &&
           read_rva(&f->image, at, &out->catch_map) && out->high >= out->low &&
           out->catch_high >= out->high && open_map(&f->image, &out->catch_map, &out->catches);
}

static bool read_next(const struct eh_function *f, uint32_t *at, unsigned head,
                      struct eh_catch *out)
{
    out->next_count = head >> CATCH_NEXT_SHIFT & 3;
    if (out->next_count > 2) {
        return false;
    }
    for (uint32_t i = 0; i < out->next_count; i++) {
        bool ok = (head & CATCH_NEXT_IS_RVA) != 0 ? read_rva(&f->image, at, &out->next[i])
                                                  : eh_read_packed(&f->image, at, &out->next[i]);
        if (!ok) {
            return false;
        }
        if ((head & CATCH_NEXT_IS_RVA) == 0) {
            out->next[i] += f->start;
        }
    }
    return true;
}

static bool next_catch(const struct eh_function *f, uint32_t *at, struct eh_catch *out)
{
    const struct eh_image *image = &f->image;
    uint8_t head;
    uint32_t object = 0;
    *out = (struct eh_catch){0};
    if (!pe_u8(image->bytes, (*at)++, &head) ||
        ((head & CATCH_ADJECTIVES) != 0 && !eh_read_packed(image, at, &out->adjectives)) ||
        ((head & CATCH_TYPE) != 0 && !read_rva(image, at, &out->type)) ||
        ((head & CATCH_OBJECT) != 0 && !eh_read_packed(image, at, &object)) ||
        !read_rva(image, at, &out->code)) {
        return false;
    }
    out->object = (int32_t)object;
    return read_next(f, at, head, out);
}

static bool read_action(const struct eh_image *image, uint32_t *at, uint32_t *back,
                        struct eh_action *out)
{
    uint32_t value;
    if (!eh_read_packed(image, at, &value)) {
        return false;
    }
    *back = value >> 2;
    *out = (struct eh_action){.kind = (enum eh_action_kind)(value & 3)};
    if (out->kind != EH_NOTHING && !read_rva(image, at, &out->code)) {
        return false;
    }
    return out->kind == EH_NOTHING || out->kind == EH_RUN ||
           eh_read_packed(image, at, &out->object);
}

/* An entry names the enclosing one by the distance in bytes; one before the first is no state. */
static bool action(const struct eh_function *f, int32_t state, struct eh_action *out)
{
    uint32_t at = f->unwind_map, entry = at, back = 0;
    if (state < 0 || (uint32_t)state >= f->states) {
        return false;
    }
    for (int32_t i = 0; i <= state; i++) {
        entry = at;
        if (!read_action(&f->image, &at, &back, out)) {
            return false;
        }
    }
    out->to = EH_NO_STATE;
    if (back == 0 || back > entry - f->unwind_map) {
        return back != 0;
    }
    struct eh_action skipped;
    uint32_t wanted = entry - back;
    at = f->unwind_map;
    for (out->to = 0; at < wanted; out->to++) {
        if (!read_action(&f->image, &at, &back, &skipped)) {
            return false;
        }
    }
    return at == wanted;
}

static bool state_at(const struct eh_function *f, uint32_t pc, int32_t *out)
{
    uint32_t at = f->point_map;
    uint64_t begin = f->start;
    *out = EH_NO_STATE;
    for (uint32_t i = 0; i < f->points; i++) {
        uint32_t distance, state;
        if (!eh_read_packed(&f->image, &at, &distance) || !eh_read_packed(&f->image, &at, &state) ||
            state > f->states) {
            return false;
        }
        begin += distance;
        if (begin > pc) {
            break;
        }
        *out = (int32_t)state - 1; /* stored plus one */
    }
    return true;
}

static const struct eh_format format = {next_try, next_catch, action, state_at};

/* The map of states of the part that starts at f->start: none if it is not listed. */
static bool find_part(struct eh_function *f, uint32_t parts)
{
    uint32_t count = 0;
    if (!open_map(&f->image, &parts, &count)) {
        return false;
    }
    f->point_map = 0;
    for (uint32_t i = 0; i < count && f->point_map == 0; i++) {
        uint32_t start, map;
        if (!read_rva(&f->image, &parts, &start) || !read_rva(&f->image, &parts, &map)) {
            return false;
        }
        f->point_map = start == f->start ? map : 0;
    }
    return true;
}

bool eh_open_v4(const struct eh_image *image, uint32_t info, uint32_t start,
                struct eh_function *out)
{
    uint8_t head;
    uint32_t tool_flags, frame = 0;
    *out = (struct eh_function){.image = *image, .format = &format, .start = start};
    if (!pe_u8(image->bytes, info++, &head) ||
        ((head & HEAD_TOOL_FLAGS) != 0 && !eh_read_packed(image, &info, &tool_flags)) ||
        ((head & HEAD_UNWIND_MAP) != 0 && !read_rva(image, &info, &out->unwind_map)) ||
        ((head & HEAD_TRY_MAP) != 0 && !read_rva(image, &info, &out->try_map)) ||
        !read_rva(image, &info, &out->point_map) ||
        ((head & HEAD_SEPARATED) != 0 && !find_part(out, out->point_map)) ||
        ((head & HEAD_CATCH) != 0 && !eh_read_packed(image, &info, &frame))) {
        return false;
    }
    out->parent_frame = (int32_t)frame;
    out->flags = ((head & HEAD_CATCH) != 0 ? EH_CATCH : 0u) |
                 ((head & HEAD_SYNCHRONOUS) != 0 ? EH_SYNCHRONOUS : 0u) |
                 ((head & HEAD_NOEXCEPT) != 0 ? EH_NOEXCEPT : 0u);
    return open_map(image, &out->unwind_map, &out->states) &&
           open_map(image, &out->try_map, &out->tries) &&
           open_map(image, &out->point_map, &out->points);
}
