/*
 * Fuzz target: the function tables and unwind information of any bytes that load as an image.
 * Frames at many places of its functions are undone, with registers that point into a stack and
 * elsewhere. Whatever the tables say, the reads end, and a handler's data lies in the image.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/ke/probe.h"
#include "loader/ke/process.h"
#include "loader/ke/unwind_x64.h"
#include "loader/ldr/imagemap.h"
#include "loader/ldr/ldr.h"
#include "tests/fuzz/fuzz.h"

#define MAX_FUNCTIONS 64u
#define STACK_WORDS   512u

static uint64_t stack[STACK_WORDS];

/* Half of the registers point into the stack, the others nowhere. */
static void start_context(struct ke_context *context, uint64_t pc)
{
    memset(context, 0, sizeof *context);
    for (unsigned i = 0; i < 16; i++)
        *ke_context_register(context, i) =
            i % 2 ? (uintptr_t)&stack[16 * i] : 0x1111111111111111u * i;
    context->Rsp = (uintptr_t)&stack[STACK_WORDS / 4];
    context->Rip = pc;
}

static void undo(const struct ldr_image_range *image, uint64_t pc)
{
    static const uint32_t kinds[] = {KE_UNW_FLAG_NHANDLER,
                                     KE_UNW_FLAG_EHANDLER | KE_UNW_FLAG_UHANDLER};
    uint64_t base = 0;
    const struct ke_runtime_function *function = ke_lookup_function_entry(pc, &base, NULL);
    if (!function)
        return;
    if (base != image->base)
        abort();
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct ke_context context;
        struct ke_context_pointers pointers;
        struct ke_virtual_frame frame;
        memset(&pointers, 0, sizeof pointers);
        start_context(&context, pc);
        if (ke_virtual_step(kinds[i], base, pc, function, &context, &frame, &pointers) &&
            frame.handler && (uintptr_t)frame.handler_data - image->base > image->size)
            abort();
    }
}

static void undo_functions(const struct ldr_image_range *image)
{
    struct ke_runtime_function function;
    uint32_t count = image->functions_size / (uint32_t)sizeof(function);
    for (uint32_t i = 0; i < count && i < MAX_FUNCTIONS; i++) {
        if (!ke_probe(&function, image->base + image->functions_rva + i * sizeof(function),
                      sizeof(function)))
            return; /* not every page of an image can be read */
        uint32_t begin = function.BeginAddress, end = function.EndAddress;
        const uint32_t places[] = {begin,   begin + 1, begin + 5, begin + 13,
                                   end - 9, end - 5,   end - 1,   begin / 2 + end / 2};
        for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++)
            if (places[p] < image->size)
                undo(image, image->base + places[p]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ldr_load_options options = {
        .name = "fuzz.dll", .bytes = data, .size = size, .flags = LDR_DONT_RESOLVE};
    struct ldr_module *module = NULL;
    struct ldr_image_range image;
    ke_fault_install(); /* reads of tables may fault: the handler lets them fail */
    if (nt_ok(ldr_load(&options, &module, NULL)) &&
        ldr_image_at((uintptr_t)ldr_module_base(module), &image) && image.functions_rva)
        undo_functions(&image);
    ldr_shutdown();
    return 0;
}
