/*
 * Version 3 of the C++ exception tables: FuncInfo and its maps of fixed records (eh_table.h).
 */
#include "loader/abi.h"
#include "loader/win32/crt/eh_table.h"

/* FuncInfo has one field more on x86-64 (where the frame keeps its state), HandlerType, too. */
#if defined(__x86_64__)
enum { FLAGS_AT = 0x24, CATCH_SIZE = 20 };
#else
enum { FLAGS_AT = 0x20, CATCH_SIZE = 16 };
#endif
enum {
    STATES_AT = 4,
    UNWIND_AT = 8,
    TRIES_AT = 0xC,
    TRY_MAP_AT = 0x10,
    POINTS_AT = 0x14,
    POINT_MAP_AT = 0x18,
    MAGIC_BITS = 0x1FFFFFFF, /* the others are flags of Microsoft's post-link tools */
    MAGIC_WITH_FLAGS = EH_MAGIC + 2,
    TRY_SIZE = 20,
    PAIR_SIZE = 8, /* UnwindMapEntry, IpToStateMapEntry */
};

static bool read_i32(const struct eh_image *image, uint64_t at, int32_t *out)
{
    uint32_t value;
    if (!pe_u32(image->bytes, at, &value)) {
        return false;
    }
    *out = (int32_t)value;
    return true;
}

static bool next_try(const struct eh_function *f, uint32_t *at, struct eh_try *out)
{
    const struct eh_image *image = &f->image;
    bool ok = read_i32(image, *at, &out->low) && read_i32(image, *at + 4u, &out->high) &&
              read_i32(image, *at + 8u, &out->catch_high) &&
              pe_u32(image->bytes, *at + 12u, &out->catches) &&
              eh_reference(image, *at + 16u, &out->catch_map) &&
              eh_holds(image, out->catch_map, out->catches, CATCH_SIZE);
    *at += TRY_SIZE;
    return ok && out->low >= 0 && out->high >= out->low && out->catch_high >= out->high;
}

static bool next_catch(const struct eh_function *f, uint32_t *at, struct eh_catch *out)
{
    const struct eh_image *image = &f->image;
    *out = (struct eh_catch){0};
    bool ok = pe_u32(image->bytes, *at, &out->adjectives) &&
              eh_reference(image, *at + 4u, &out->type) &&
              read_i32(image, *at + 8u, &out->object) &&
              eh_reference(image, *at + 12u, &out->code) && out->code != 0;
#if defined(__x86_64__)
    ok = ok && read_i32(image, *at + 16u, &out->parent_frame);
#endif
    *at += CATCH_SIZE;
    return ok;
}

static bool action(const struct eh_function *f, int32_t state, struct eh_action *out)
{
    uint64_t at = f->unwind_map + (uint64_t)PAIR_SIZE * (uint32_t)state;
    *out = (struct eh_action){0};
    if (state < 0 || (uint32_t)state >= f->states || !read_i32(&f->image, at, &out->to) ||
        !eh_reference(&f->image, at + 4, &out->code)) {
        return false;
    }
    out->kind = out->code != 0 ? EH_RUN : EH_NOTHING;
    return out->to >= EH_NO_STATE && out->to < state;
}

static bool state_at(const struct eh_function *f, uint32_t pc, int32_t *out)
{
    int32_t state = EH_NO_STATE;
    uint64_t at = f->point_map;
    for (uint32_t i = 0; i < f->points; i++, at += PAIR_SIZE) {
        uint32_t begin;
        int32_t its_state;
        if (!pe_u32(f->image.bytes, at, &begin) || !read_i32(&f->image, at + 4, &its_state)) {
            return false;
        }
        if (begin > pc) {
            break;
        }
        state = its_state;
    }
    *out = state;
    return state >= EH_NO_STATE && (state == EH_NO_STATE || (uint32_t)state < f->states);
}

static const struct eh_format format = {next_try, next_catch, action, state_at};

bool eh_open_v3(const struct eh_image *image, uint32_t info, struct eh_function *out)
{
    uint32_t magic, flags = 0;
    *out = (struct eh_function){.image = *image, .format = &format};
    if (!pe_u32(image->bytes, info, &magic)) {
        return false;
    }
    magic &= MAGIC_BITS;
    if (magic < EH_MAGIC || magic > MAGIC_WITH_FLAGS ||
        (magic == MAGIC_WITH_FLAGS && !pe_u32(image->bytes, (uint64_t)info + FLAGS_AT, &flags))) {
        return false;
    }
    out->flags = flags & (EH_SYNCHRONOUS | EH_NOEXCEPT);
    return pe_u32(image->bytes, (uint64_t)info + STATES_AT, &out->states) &&
           eh_reference(image, (uint64_t)info + UNWIND_AT, &out->unwind_map) &&
           pe_u32(image->bytes, (uint64_t)info + TRIES_AT, &out->tries) &&
           eh_reference(image, (uint64_t)info + TRY_MAP_AT, &out->try_map) &&
           pe_u32(image->bytes, (uint64_t)info + POINTS_AT, &out->points) &&
           eh_reference(image, (uint64_t)info + POINT_MAP_AT, &out->point_map) &&
           eh_holds(image, out->unwind_map, out->states, PAIR_SIZE) &&
           eh_holds(image, out->try_map, out->tries, TRY_SIZE) &&
           eh_holds(image, out->point_map, out->points, PAIR_SIZE);
}
