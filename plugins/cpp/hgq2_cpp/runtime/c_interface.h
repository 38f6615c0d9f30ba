/* The C interface of an emulator. Functions may be called from several threads. */
#ifndef HGQ2_INTERFACE_@NAME@_H
#define HGQ2_INTERFACE_@NAME@_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

int @NAME@_inputs(void);
int @NAME@_outputs(void);
const char *@NAME@_input_name(int input);
const char *@NAME@_output_name(int output);
size_t @NAME@_input_numbers(int input);   /* of a sample, as the model takes it */
size_t @NAME@_input_elements(int input);  /* of a sample, in integers: those of ports.json */
size_t @NAME@_output_numbers(int output);

/* Inputs as the model takes them (float, or double where ports.json says float64 or a wide integer), outputs as double;
   each a whole array, sample after sample. Returns 0; 1 where an input holds NaN or an infinity; 2 without memory. */
int @NAME@_predict(const void *const *inputs, double *const *outputs, size_t samples);

/* The same in the integers of the ports. */
int @NAME@_run(const int64_t *const *inputs, int64_t *const *outputs, size_t samples);

#ifdef __cplusplus
}
#endif

#endif
