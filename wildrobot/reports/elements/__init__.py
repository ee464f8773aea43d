"""What every HTML page of the project is made of: style, tables, and charts as inline SVG. It needs numpy only."""
