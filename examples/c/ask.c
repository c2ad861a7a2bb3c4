/* Asks a model and prints its answer: ask MODEL PROMPT
   cc ask.c $(pkg-config --cflags --libs dspark) -o ask */
#include <dspark/dspark.h>
#include <stdio.h>

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: ask MODEL PROMPT\n");
    return 2;
  }
  dspark_engine_options options = {.struct_size = sizeof options, .model = argv[1]};
  dspark_engine* engine = NULL;
  if (dspark_open(&options, &engine) != DSPARK_OK) {
    fprintf(stderr, "ask: %s\n", dspark_last_error());
    return 1;
  }
  dspark_request request = {.struct_size = sizeof request, .text = argv[2], .max_tokens = 64};
  dspark_result* result = NULL;
  dspark_code code = dspark_generate(engine, &request, &result);
  if (code == DSPARK_OK)
    printf("%s\n", result->text);
  else
    fprintf(stderr, "ask: %s\n", dspark_last_error());
  dspark_result_free(result);
  dspark_close(engine);
  return code == DSPARK_OK ? 0 : 1;
}
