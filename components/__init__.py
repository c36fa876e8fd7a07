"""All that the pipeline does: data, corruption, models, training, evaluation, tracking and reports."""
