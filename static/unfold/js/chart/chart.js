// The theme loads a chart library here; the console draws with uPlot, where it has charts.
