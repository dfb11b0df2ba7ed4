-- Which pauses are in force, the oldest first?
SELECT {{ pause_columns }} FROM pauses ORDER BY since, id
